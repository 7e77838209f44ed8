package feed

import "testing"

// A file that is named twice is imported once. Files of the same name in two
// folders do not share a state.
func TestNamedTwice(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	a, b := write(t, "rows.ndjson", row("a")+"\n"), write(t, "rows.ndjson", row("bad")+"\n"+row("b")+"\n")
	o := Options{Post: f.post, StateDir: t.TempDir()}
	first, second, third := mustFile(t, a, o), mustFile(t, b, o), mustFile(t, a, o)
	if first.Totals.Stored != 1 || second.Before || second.Totals.Stored != 1 || !third.Before {
		t.Errorf("got %+v, then %+v, then %+v", first, second, third)
	}
	if err := Forget([]string{a, b, a}, o); err != nil {
		t.Error(err)
	}
	if again := mustFile(t, a, o); again.Before {
		t.Error("the state was not forgotten")
	}
}
