package live

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
)

// leftOutLines formats counts as the tests write them.
func leftOutLines(list []LeftOut) (lines []string) {
	for i := range list {
		l := &list[i]
		lines = append(lines, time.UnixMicro(int64(l.Last)).UTC().Format("15:04 ")+l.What.Name+" "+l.What.WhyLeftOut()+" "+l.What.Value+" "+l.Command+" "+l.Type)
	}
	return lines
}

func TestLeftOut(t *testing.T) {
	t.Parallel()
	h := New(nil, nil)
	undefined := trackway.Identifier{Name: "registered", Value: "undefined", Hard: true}
	empty := trackway.Identifier{Name: "cookie"}
	minute := trackway.Micros(time.Minute.Microseconds())
	sent := func(project uint32, at trackway.Micros, typ string) *Rejection {
		return &Rejection{Project: project, Received: at * minute, Command: "customers/events", Type: typ, Address: netip.MustParseAddr("203.0.113.7")}
	}
	if list, version := h.LeftOut(0, 0, 0); list != nil || version != 0 {
		t.Errorf("nothing was counted: got %v, version %d", list, version)
	}
	for range 3 {
		h.CountLeftOut([]trackway.Identifier{undefined}, sent(1, 1, "a"))
	}
	h.CountLeftOut([]trackway.Identifier{empty, undefined}, sent(1, 2, "b"))
	h.CountLeftOut([]trackway.Identifier{undefined}, sent(2, 3, ""))
	all, version := h.LeftOut(0, 4*minute, 0)
	want := []string{"00:03 registered listed undefined customers/events ", "00:02 cookie empty  customers/events b", "00:02 registered listed undefined customers/events b"}
	if diff := cmp.Diff(want, leftOutLines(all)); diff != "" {
		t.Fatalf("(-want): %s", diff)
	}
	if last := all[2]; last.Count != 4 || last.First != minute || last.Project != 1 || last.Address != netip.MustParseAddr("203.0.113.7") {
		t.Errorf("got %+v", last)
	}
	if again, same := h.LeftOut(0, 4*minute, version); again != nil || same != version {
		t.Errorf("nothing was counted since: got %v, version %d", again, same)
	}
	if one, _ := h.LeftOut(2, 4*minute, 0); len(one) != 1 || one[0].Project != 2 {
		t.Errorf("of one project: got %v", one)
	}

	// A count is forgotten an hour after its last command. A client that
	// continues begins a new count.
	h.CountLeftOut([]trackway.Identifier{empty}, sent(1, 63, "c"))
	all, _ = h.LeftOut(0, 63*minute, version)
	if diff := cmp.Diff([]string{"01:03 cookie empty  customers/events c", "00:03 registered listed undefined customers/events "}, leftOutLines(all)); diff != "" || all[0].Count != 1 {
		t.Errorf("got %+v (-want): %s", all, diff)
	}
}

// TestLeftOutBounded checks that the number of counts is limited, and that
// texts are copied and cut.
func TestLeftOutBounded(t *testing.T) {
	t.Parallel()
	h := New(nil, nil)
	for project := range uint32(2 * mostLeftOut) {
		h.CountLeftOut([]trackway.Identifier{{Name: "cookie"}}, &Rejection{Project: project + 1, Type: string(make([]byte, 1000))})
	}
	list, _ := h.LeftOut(0, 0, 0)
	if len(list) != mostLeftOut || len(list[0].Type) > longest+len("…") {
		t.Errorf("got %d counts, a type of %d bytes", len(list), len(list[0].Type))
	}
}
