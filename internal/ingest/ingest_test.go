package ingest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"trackway"
)

const received = trackway.Micros(1_700_000_000_000_000)

var errDisk = errors.New("disk")

// fakeStore keeps events by their type and time. Like a real store, it can fail
// with and without having stored.
type fakeStore struct {
	events    map[string]int // type and time → number of stored events
	failFirst int            // this many calls fail
	store     bool           // failing calls store nevertheless
	applied   [][]trackway.Command
	refused   map[trackway.Micros]int // time → number of commands
	damaged   bool                    // Refused fails
}

func (f *fakeStore) Apply(cmds []trackway.Command, results []trackway.Result) error {
	if len(cmds) != len(results) {
		panic("bug: results are not as many as commands")
	}
	nothing := func(c trackway.Command) bool { return c.Kind == trackway.Nothing }
	f.applied = append(f.applied, slices.DeleteFunc(slices.Clone(cmds), nothing))
	failing := len(f.applied) <= f.failFirst
	if failing && !f.store {
		return errDisk
	}
	for i := range cmds {
		switch c := &cmds[i]; {
		case !nothing(*c):
			results[i] = f.apply(c)
		case c.Project != 0:
			f.refused[c.Received]++
		}
	}
	if failing {
		return errDisk
	}
	return nil
}

func (f *fakeStore) apply(c *trackway.Command) trackway.Result {
	if c.Type == "refused" {
		return trackway.Result{Err: &trackway.Error{Code: trackway.Conflict, Msg: "Refused by the store."}}
	}
	key := fmt.Sprintf("%s at %d", c.Type, c.Time)
	if f.events[key] > 0 {
		return trackway.Result{Customer: 1, Duplicate: true}
	}
	f.events[key]++
	return trackway.Result{Customer: 1, Seq: uint64(len(f.events))}
}

func (f *fakeStore) Refused(project uint32, at trackway.Micros, n int) error {
	if project != shop.Number {
		return fmt.Errorf("there is no project %d", project)
	}
	if f.damaged {
		return errDisk
	}
	f.refused[at] += n
	return nil
}

func newFake() *fakeStore {
	return &fakeStore{events: make(map[string]int), refused: make(map[trackway.Micros]int)}
}

// TestUncounted checks that a failure to count refused commands is not an
// error, which would make a client resend all commands.
func TestUncounted(t *testing.T) {
	t.Parallel()
	s := newFake()
	s.damaged = true
	in, reg := newIngest(t, s)
	results := make([]trackway.Result, 2)
	if err := in.Accept(shop, received, []trackway.Command{visit("", 1), visit("", 1)}, results); err != nil {
		t.Fatal(err)
	}
	if results[0].Err == nil || results[1].Err == nil {
		t.Errorf("got %+v", results)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var uncounted float64
	for _, family := range families {
		if family.GetName() == "trackway_commands_uncounted_total" {
			uncounted = family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if uncounted != 2 {
		t.Errorf("%g commands are uncounted, want 2", uncounted)
	}
}

func newIngest(t *testing.T, s Store) (*Ingest, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	return New(s, nil, reg), reg
}

// visit returns a good event, or a bad one if typ is empty.
func visit(typ string, at trackway.Micros) trackway.Command {
	return trackway.Command{Kind: trackway.AddEvent, IDs: named("registered", "r"), Type: typ, Time: at, TimeGiven: true}
}

// early is the error of a command that was refused before ingest.
var early = &trackway.Error{Code: trackway.Forbidden, Field: "name", Msg: "Not authorized."}

// outcome returns the outcome of a command in a word.
func outcome(r trackway.Result) string {
	switch {
	case r.Err != nil:
		return string(r.Err.Code) + " " + r.Err.Field
	case r.Duplicate:
		return "duplicate"
	}
	return fmt.Sprint("event ", r.Seq)
}

// TestAccept checks that each result is at the index of its command, whichever
// of them are good, and that the store sees only good ones.
func TestAccept(t *testing.T) {
	t.Parallel()
	const bad, refused, before, nothing = "", "refused", "before", "nothing"
	tests := map[string]struct{ types, want []string }{
		"one":              {[]string{"a"}, []string{"event 1"}},
		"one bad":          {[]string{bad}, []string{"invalid event_type"}},
		"none":             {nil, []string{}},
		"all good":         {[]string{"a", "b", "a"}, []string{"event 1", "event 2", "duplicate"}},
		"all bad":          {[]string{bad, bad}, []string{"invalid event_type", "invalid event_type"}},
		"bad in front":     {[]string{bad, "a", "b"}, []string{"invalid event_type", "event 1", "event 2"}},
		"bad at the end":   {[]string{"a", "b", bad}, []string{"event 1", "event 2", "invalid event_type"}},
		"bad in between":   {[]string{"a", bad, "b", bad, bad, "c"}, []string{"event 1", "invalid event_type", "event 2", "invalid event_type", "invalid event_type", "event 3"}},
		"refused before":   {[]string{before, "a", bad, before}, []string{"forbidden name", "event 1", "invalid event_type", "forbidden name"}},
		"all before":       {[]string{before}, []string{"forbidden name"}},
		"nothing asked":    {[]string{nothing}, []string{"event 0"}},
		"nothing among":    {[]string{nothing, "a", bad, nothing, "b"}, []string{"event 0", "event 1", "invalid event_type", "event 0", "event 2"}},
		"refused by store": {[]string{"a", bad, refused, "a", "c"}, []string{"event 1", "invalid event_type", "conflict ", "duplicate", "event 2"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			in, _ := newIngest(t, f)
			cmds, results := make([]trackway.Command, len(test.types)), make([]trackway.Result, len(test.types))
			unseen := 0 // by the store
			for i, typ := range test.types {
				cmds[i] = visit(typ, 1)
				if typ == before {
					results[i].Err = early
				}
				if typ == before || typ == bad {
					unseen++
				}
				if typ == nothing {
					cmds[i] = trackway.Command{}
				}
			}
			if err := in.Accept(shop, received, cmds, results); err != nil {
				t.Fatal(err)
			}
			got := make([]string, len(results))
			for i := range results {
				got[i] = outcome(results[i])
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want): %s", diff)
			}
			for _, c := range f.applied {
				for i := range c {
					if c[i].Type == bad || c[i].Type == before || c[i].Project != shop.Number || !c[i].IDs[0].Hard {
						t.Errorf("the store was given %+v", c[i])
					}
				}
			}
			if f.refused[received] != unseen {
				t.Errorf("the store was told of %v refused, want %d", f.refused, unseen)
			}
		})
	}
}

// TestAcceptFails checks that the outcome is open after an error. If the client
// resends the events, as it is told to, every event is stored once.
func TestAcceptFails(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{false, true} {
		for _, types := range [][]string{{"a"}, {"a", "b"}, {"", "a", "", "b"}} {
			t.Run(fmt.Sprintf("stored=%v, %q", stored, types), func(t *testing.T) {
				t.Parallel()
				f := newFake()
				f.failFirst, f.store = 2, stored
				in, reg := newIngest(t, f)
				good := 0
				for try := range 4 {
					cmds, results := make([]trackway.Command, len(types)), make([]trackway.Result, len(types))
					good = 0
					for i, typ := range types {
						cmds[i] = visit(typ, 1)
						if typ != "" {
							good++
						}
					}
					err := in.Accept(shop, received, cmds, results)
					if failed := try < f.failFirst; errors.Is(err, errDisk) != failed || (err != nil) != failed {
						t.Fatalf("try %d: got %v", try, err)
					}
				}
				if len(f.events) != good || f.events["a at 1"] != 1 {
					t.Errorf("got %v, want each of %d events once", f.events, good)
				}
				if got := counted(t, reg, "failed"); got != float64(f.failFirst*good) {
					t.Errorf("counted %v failed, want %d", got, f.failFirst*good)
				}
			})
		}
	}
}

// counted returns how many commands were counted with an outcome.
func counted(t *testing.T, reg *prometheus.Registry, outcome string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families[0].GetMetric() {
		if m.GetLabel()[0].GetValue() == outcome {
			return m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no commands are counted as %s", outcome)
	return 0
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	in, reg := newIngest(t, newFake())
	cmds := []trackway.Command{visit("a", 1), visit("", 1), visit("a", 1), visit("refused", 1), {}, visit("b", 1), visit("c", 1)}
	if err := in.Accept(shop, received, cmds, make([]trackway.Result, len(cmds))); err != nil {
		t.Fatal(err)
	}
	for outcome, want := range map[string]float64{"stored": 3, "duplicate": 1, "refused": 2, "failed": 0} {
		if got := counted(t, reg, outcome); got != want {
			t.Errorf("%s: got %v, want %v", outcome, got, want)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// TestLeftOutOfCommands checks that each command, refused or not, reports the
// identifiers that were left out of it, and that they are counted.
func TestLeftOutOfCommands(t *testing.T) {
	t.Parallel()
	undefined := trackway.Identifier{Name: "registered", Value: "undefined", Hard: true}
	empty := trackway.Identifier{Name: "email", Hard: true}
	event := func(typ string, ids ...string) trackway.Command {
		return trackway.Command{Kind: trackway.AddEvent, IDs: named(ids...), Type: typ, Time: 1}
	}
	for name, cmds := range map[string][]trackway.Command{
		"all good": {event("a", "registered", "undefined", "cookie", "c"), event("b", "cookie", "c"), event("c", "email", "", "cookie", "c")},
		"one bad":  {event("a", "registered", "undefined", "cookie", "c"), event("", "cookie", "c"), event("c", "email", "", "cookie", "c")},
		"all bad":  {event("a", "registered", "undefined"), event("b"), event("", "email", "", "cookie", "c")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			in, reg := newIngest(t, f)
			results := make([]trackway.Result, len(cmds))
			if err := in.Accept(shop, received, cmds, results); err != nil {
				t.Fatal(err)
			}
			for i, want := range [][]trackway.Identifier{{undefined}, nil, {empty}} {
				if diff := cmp.Diff(want, cmds[i].LeftOut); diff != "" {
					t.Errorf("command %d (-want): %s", i, diff)
				}
			}
			for _, stored := range f.applied {
				for i := range stored {
					if len(stored[i].IDs) != 1 || stored[i].IDs[0].Name != "cookie" {
						t.Errorf("the store was given %v", stored[i].IDs)
					}
				}
			}
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			counts := map[string]float64{}
			for _, family := range families {
				for _, m := range family.GetMetric() {
					if family.GetName() == "trackway_identifiers_left_out_total" {
						labels := m.GetLabel() // by name: identifier, project, why
						counts[labels[1].GetValue()+" "+labels[0].GetValue()+" "+labels[2].GetValue()] = m.GetCounter().GetValue()
					}
				}
			}
			if diff := cmp.Diff(map[string]float64{"shop registered listed": 1, "shop email empty": 1}, counts); diff != "" {
				t.Errorf("counted (-want): %s", diff)
			}
			if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
				t.Error(problems, err)
			}
		})
	}
}

// TestAnonymous checks that a click without identifiers is anonymous.
func TestAnonymous(t *testing.T) {
	t.Parallel()
	f := newFake()
	in, _ := newIngest(t, f)
	cmds := []trackway.Command{{Kind: trackway.AddEvent, IDs: named("registered", "null"), Anonymous: true, Type: "campaign_click", Time: 1}}
	results := make([]trackway.Result, 1)
	if err := in.Accept(shop, received, cmds, results); err != nil || results[0].Err != nil {
		t.Fatal(err, results[0].Err)
	}
	if got := f.applied[0][0]; len(got.IDs) != 0 || len(cmds[0].LeftOut) != 1 {
		t.Errorf("got %+v, left out %v", got, cmds[0].LeftOut)
	}
}
