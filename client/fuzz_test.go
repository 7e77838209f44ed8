package client

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzAnswer gives any answer at all. The client must return, and stay within
// its bounds.
func FuzzAnswer(f *testing.F) {
	f.Add(429, "12", "Sun, 22 Nov 2026 05:00:00 GMT", `"track";q=6000;w=60`, `"track";r=10;t=12`, "1795323610", `{"results":[{"success":true}]}`)
	f.Add(503, "Sun, 22 Nov 2026 05:00:20 GMT", "", `"a;b, c" ; q=30`, `"\"";r=0;t=1,`, "99999999999999999", `{"errors":{"code":503}}`)
	f.Add(200, "", "", "", "", "", `{"results":[null,{}]}`)
	f.Add(307, "", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, status int, after, date, policy, state, reset, body string) {
		now := time.Unix(1_795_323_600, 0)
		h := http.Header{
			"Retry-After": {after}, "Date": {date}, "Ratelimit-Policy": {policy}, "Ratelimit": {state},
			"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {reset}, "Location": {after},
		}
		a := answer{url: "https://ts1/track", status: status, header: h, body: []byte(body)}
		d := rules{defaultMaxDelay}.decide(&a, 3, 2, now)
		most := maxRetryAfter + maxRetryAfter/10 // the spread
		if d.low < 0 || d.high < d.low || d.high > most {
			t.Errorf("a delay of %v to %v", d.low, d.high)
		}
		if d.action == done && len(d.results) != 2 || d.action == reject && d.reason == "" || d.action == move && d.url == "" {
			t.Errorf("got %+v", d)
		}
		var p pacer
		for range 3 {
			p.calls++
			p.answered(h, now, 1)
			if wait := p.until.Sub(now); wait > most {
				t.Errorf("a wait of %v", wait)
			}
		}
		if p.cost < 0 {
			t.Errorf("a cost of %v", p.cost)
		}
		for _, s := range readServers([]byte(body), "https://ts1") {
			if serverURL(s.URL, "https:") == "" {
				t.Errorf("got the server %q", s.URL)
			}
		}
	})
}

// FuzzSegment opens a queue whose file has any content at all.
func FuzzSegment(f *testing.F) {
	f.Add(appendRecord(appendRecord(nil, []byte("one")), []byte("two")), []byte("done"))
	f.Add([]byte{1, 0, 0, 0}, []byte{})
	f.Fuzz(func(t *testing.T, segment, done []byte) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{"0000000000000001": segment, "done": done} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d, err := openDisk(dir, true)
		if err != nil {
			return // it reports the damage
		}
		defer func() { _ = d.close() }()
		if err := d.push([]byte("last")); err != nil {
			t.Fatal(err)
		}
		if got := drain(t, d); len(got) == 0 || got[len(got)-1] != "last" {
			t.Errorf("got %q, want what was pushed at the end", got)
		}
	})
}
