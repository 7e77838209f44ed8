package main

import (
	"strings"
	"testing"
	"time"
)

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
