package live

import (
	"fmt"
	"strconv"
	"testing"

	"trackway"
)

func TestResume(t *testing.T) {
	t.Parallel()
	run(t, func(b bubble) {
		t, h, l := b.T, b.h, b.l
		for i := range 2*mostBack + 1 {
			l.write(strconv.Itoa(i+1), 1, 1)
		}
		l.sync()
		for _, test := range []struct {
			after       *Mark
			first, last string
			n           int
		}{
			{nil, "1952", "2001", usualBack},
			{&Mark{Seqs: []uint64{1998}}, "1999", "2001", 3},
			{&Mark{Seqs: []uint64{1}}, "1002", "2001", mostBack},
			{&Mark{Seqs: []uint64{2001}}, "", "", 0},
			{&Mark{Seqs: []uint64{1 << 60}}, "", "", 0},
		} {
			w := mustWatch(t, h, Filter{Events: true}, test.after)
			settle()
			got, dropped := types(t, w)
			if len(got) != test.n || dropped != 0 || test.n > 0 && (got[0] != test.first || got[test.n-1] != test.last) {
				t.Errorf("after %v: got %d events, %d dropped (%.200s)", test.after, len(got), dropped, fmt.Sprint(got))
			}
			w.Close()
		}
	})
}

// TestBackOverOtherChanges checks that many changes other than events, as from
// an import of customers, hide no event from a new or returning watcher.
func TestBackOverOtherChanges(t *testing.T) {
	t.Parallel()
	run(t, func(b bubble) {
		t, h, l := b.T, b.h, b.l
		l.add("a", "b", "c")
		l.events = append(l.events, make([]trackway.Event, 2*lookBack)...) // the numbers of other changes
		l.sync()
		for _, test := range []struct {
			after *Mark
			want  string
		}{{nil, "a b c"}, {&Mark{Seqs: []uint64{1}}, "b c"}} {
			w := mustWatch(t, h, Filter{Events: true}, test.after)
			wantTypes(t, w, test.want)
			w.Close()
		}
	})
}
