package main

import (
	"strings"
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	began := time.Unix(1000, 0)
	after := func(d time.Duration) time.Time { return began.Add(d) }
	tests := map[string]struct {
		live, quiet bool
		tell        func(*progress)
		want        string
	}{
		"elsewhere a line now and then": {tell: func(p *progress) {
			p.at(began, 0, 0, 1000)
			p.at(after(9*time.Second), 90, 90, 1000)
			p.at(after(10*time.Second), 100, 250, 1000)
			p.at(after(11*time.Second), 110, 900, 1000)
			p.done()
		}, want: "f  25 %  100 rows  10/s  250 bytes of 1.0 kB  30s left\n"},
		"what was done before does not count": {tell: func(p *progress) {
			p.at(began, 5000, 500, 1000)
			p.at(after(10*time.Second), 5100, 600, 1000)
		}, want: "f  60 %  5100 rows  10/s  600 bytes of 1.0 kB  40s left\n"},
		"of unknown size": {tell: func(p *progress) {
			p.at(began, 0, 0, 0)
			p.at(after(10*time.Second), 100, 2_500_000, 0)
		}, want: "f  100 rows  10/s  2.5 MB\n"},
		"a bar on a terminal": {live: true, tell: func(p *progress) {
			p.at(began, 0, 0, 2e9)
			p.at(after(50*time.Millisecond), 1, 1, 2e9)
			p.at(after(10*time.Second), 100, 1e9, 2e9)
			p.done()
		}, want: "\rf [==========          ]  50 %  100 rows  10/s  1.0 GB of 2.0 GB  10s left\r" + strings.Repeat(" ", 74) + "\r"},
		"quiet":   {live: true, quiet: true, tell: func(p *progress) { p.at(after(time.Hour), 1, 1, 2) }, want: ""},
		"written": {tell: func(p *progress) { p.wrote(after(10*time.Second), 5_000) }, want: "f  5.0 kB  500 bytes/s\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			p := newProgress(&b, test.quiet, "f", began)
			p.live = test.live
			test.tell(p)
			if got := b.String(); got != test.want {
				t.Errorf("got\n%q\nwant\n%q", got, test.want)
			}
		})
	}
}

func TestShownEvent(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	line := `{"name":"customers/events","data":{"customer_ids":{"registered":"x","cookie":["c1","c2"]},"event_type":"a\u001b[2J","timestamp":1.5,"properties":{"t":1}}}`
	e := tailCommand{}
	e.JSON = true
	if err := e.show(&b, strings.NewReader(line)); err != nil || b.String() != line {
		t.Errorf("got %q, %v, want the line as it is", b.String(), err)
	}
	var shown shownEvent
	shown.Data.Type, shown.Data.Timestamp, shown.Data.Properties = "a\x1b[2J", 1.5, []byte(`{"t":1}`)
	at := time.UnixMilli(1500).Format("2006-01-02 15:04:05.000")
	if got, want := shown.String(), at+`  a\x1b[2J    {"t":1}`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseSince(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"10m": now.Add(-10 * time.Minute), "2026-01-01": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		"2026-01-01T12:00:00+01:00": time.Date(2026, 1, 1, 11, 0, 0, 0, time.UTC),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "-1m", "soon", "1700000000"} {
		if got, err := parseSince(bad, now); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}
