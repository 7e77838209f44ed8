package terminal

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
		tell        func(*Progress)
		want        string
	}{
		"elsewhere a line now and then": {tell: func(p *Progress) {
			p.At(began, 0, 0, 1000)
			p.At(after(9*time.Second), 90, 90, 1000)
			p.At(after(10*time.Second), 100, 250, 1000)
			p.At(after(11*time.Second), 110, 900, 1000)
			p.Done()
		}, want: "f  25 %  100 rows  10/s  250 bytes of 1.0 kB  30s left\n"},
		"what was done before does not count": {tell: func(p *Progress) {
			p.At(began, 5000, 500, 1000)
			p.At(after(10*time.Second), 5100, 600, 1000)
		}, want: "f  60 %  5100 rows  10/s  600 bytes of 1.0 kB  40s left\n"},
		"of unknown size": {tell: func(p *Progress) {
			p.At(began, 0, 0, 0)
			p.At(after(10*time.Second), 100, 2_500_000, 0)
		}, want: "f  100 rows  10/s  2.5 MB\n"},
		"a bar on a terminal": {live: true, tell: func(p *Progress) {
			p.At(began, 0, 0, 2e9)
			p.At(after(50*time.Millisecond), 1, 1, 2e9)
			p.At(after(10*time.Second), 100, 1e9, 2e9)
			p.Done()
		}, want: "\rf [==========          ]  50 %  100 rows  10/s  1.0 GB of 2.0 GB  10s left\r" + strings.Repeat(" ", 74) + "\r"},
		"quiet":   {live: true, quiet: true, tell: func(p *Progress) { p.At(after(time.Hour), 1, 1, 2) }, want: ""},
		"written": {tell: func(p *Progress) { p.Wrote(after(10*time.Second), 5_000) }, want: "f  5.0 kB  500 bytes/s\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			p := NewProgress(&b, test.quiet, "f", began)
			p.live = test.live
			test.tell(p)
			if got := b.String(); got != test.want {
				t.Errorf("got\n%q\nwant\n%q", got, test.want)
			}
		})
	}
}
