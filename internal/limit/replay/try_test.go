package replay

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trackway"
	"trackway/internal/limit"
	"trackway/internal/limit/traffic"
)

// Trying a limit says the same of its policy as simulating the whole
// configuration with it, and its steps add up.
func TestTryIsSimulate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLimits(t)
		var seconds []int64
		rows := make(map[int64][]traffic.Row)
		for second := range int64(rapid.IntRange(1, 400).Draw(t, "seconds")) {
			if second%rapid.Int64Range(1, 40).Draw(t, "rarity") != 0 {
				continue
			}
			at := base.Unix() + second
			seconds = append(seconds, at)
			kind := &kinds[rapid.IntRange(0, len(kinds)-1).Draw(t, "kind")]
			rows[at] = []traffic.Row{{Addr: addresses[rapid.IntRange(0, len(addresses)-1).Draw(t, "address")], Kind: kind, Calls: rapid.Uint32Range(1, 30).Draw(t, "calls"), Last: 900}}
		}
		source := func(yield func(int64, []traffic.Row) error) (traffic.Coverage, error) {
			for _, second := range seconds {
				if err := yield(second, slices.Clone(rows[second])); err != nil {
					return traffic.Coverage{}, err
				}
			}
			return traffic.Coverage{From: base, To: time.Unix(seconds[len(seconds)-1]+1, 0)}, nil
		}
		trial := Trial{
			Policy: l.Policies[rapid.IntRange(0, 2).Draw(t, "policy")].Name, Limit: rapid.Uint32Range(1, 30).Draw(t, "tried"), Rows: 1000,
			Window: time.Duration(rapid.IntRange(1, 60).Draw(t, "tried window")) * time.Second, From: base, To: time.Unix(seconds[len(seconds)-1]+1, 0),
		}
		got, err := Try(source, l, trial)
		if _, invalid := errors.AsType[limit.Problems](err); invalid {
			t.Skip(err) // no burst exists for so few calls
		} else if err != nil {
			t.Fatal(err)
		}
		set, err := limit.NewSet(l.Policies, l.Overrides)
		if err != nil {
			t.Fatal(err)
		}
		changed := l
		changed.Policies = set.Policies() // with the usual burst
		for i := range changed.Policies {
			if p := &changed.Policies[i]; p.Name == trial.Policy {
				*p = withLimit(*p, trial.Limit)
				p.Window = trial.Window
				if p.Mode == trackway.Off {
					p.Mode = trackway.Enforce
				}
			}
		}
		want, err := Simulate(source, changed)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(want.Policies, func(p PolicyOutcome) bool { return p.Name == trial.Policy })
		if got.Policy != want.Policies[at] {
			t.Errorf("got %+v, want %+v", got.Policy, want.Policies[at])
		}
		if len(got.Callers) != got.Policy.Callers {
			t.Errorf("%d callers are listed of %d", len(got.Callers), got.Policy.Callers)
		}
		for _, c := range want.Callers {
			if c.Policy == trial.Policy && !slices.Contains(got.Callers, c) {
				t.Errorf("%+v is not among %+v", c, got.Callers)
			}
		}
		sum := uint64(0)
		for _, n := range got.Steps.Refused {
			sum += n
		}
		if sum != got.Policy.Refused || len(got.Steps.Refused) > mostSteps || len(got.Steps.Was) != len(got.Steps.Refused) {
			t.Errorf("the steps have %d refusals of %d: %+v", sum, got.Policy.Refused, got.Steps)
		}
	})
}

func TestTry(t *testing.T) {
	t.Parallel()
	l := Limits{Policies: published(), Floors: floors, Callers: 100}
	trial := Trial{Policy: "grid", Limit: 7, Rows: 1, From: base, To: base.Add(time.Hour)}
	two := func(yield func(int64, []traffic.Row) error) (traffic.Coverage, error) {
		if _, err := from("192.0.2.1", map[string]uint32{grid: 9})(yield); err != nil {
			return traffic.Coverage{}, err
		}
		return from("192.0.2.2", map[string]uint32{grid: 3})(yield)
	}
	got, err := Try(two, l, trial)
	if err != nil {
		t.Fatal(err)
	}
	if c := got.Callers; len(c) != 1 || c[0].Caller != "192.0.2.1" || c[0].Calls != 9 || c[0].Refused != 2 || c[0].First.IsZero() {
		t.Errorf("got %+v, want only the busiest caller", c)
	}
	if got.Policy.Callers != 2 || got.Policy.CallersRefused != 1 || got.Problem != "" || !strings.Contains(got.YAML, "limit: 7, window: 30s") || !strings.Contains(got.YAML, "no_looser_than: api") {
		t.Errorf("got %+v", got)
	}
	trial.Limit = 1000 // more than api
	if got, err = Try(two, l, trial); err != nil || got.Policy.Refused != 0 || !strings.Contains(got.Problem, "grid: ") || !got.Callers[0].First.IsZero() {
		t.Errorf("got %+v, %v, want that it is too loose", got, err)
	}
	trial = Trial{Policy: "track", Limit: 5, Rows: 1, From: base, To: base.Add(time.Hour)}
	if got, err = Try(two, l, trial); err != nil || !strings.Contains(got.Problem, "track: ") {
		t.Errorf("got %+v, %v, want that callers are promised more", got, err)
	}
	trial.Policy = "none"
	if _, err = Try(two, l, trial); err == nil || !strings.Contains(err.Error(), "only api, grid, track") {
		t.Errorf("got %v", err)
	}
	trial.Policy, trial.Limit = "api", 0
	if _, err = Try(two, l, trial); err == nil {
		t.Error("a limit of 0 is tried")
	}
}

// Whatever the length of a record, its steps are few and cover it.
func TestSteps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		begin := base.Add(time.Duration(rapid.IntRange(0, 90_000).Draw(t, "begin")) * time.Second)
		length := rapid.Int64Range(0, 400*86400).Draw(t, "seconds")
		s := newSteps(begin, begin.Add(time.Duration(length)*time.Second))
		last := begin.Unix() + max(length, 1) - 1
		s.add(s.Refused, begin.Unix(), 1)
		s.add(s.Refused, last, 1)
		s.add(s.Refused, s.Start.Unix()-1, 5)
		s.add(s.Refused, s.Start.Unix()+int64(len(s.Refused))*s.Step, 5)
		if n := len(s.Refused); n > mostSteps || s.Refused[0] == 0 || s.Refused[n-1] == 0 || s.Refused[0]+s.Refused[n-1] > 4 {
			t.Errorf("%d seconds from %v: got %+v", length, begin, s)
		}
	})
}

// An override holds for the tried limit, too.
func TestTryWithOverride(t *testing.T) {
	t.Parallel()
	l := Limits{Policies: published(), Callers: 100, Overrides: []trackway.Override{{Policy: "api", Address: netip.MustParsePrefix("192.0.2.1/32"), Limit: 8}}}
	got, err := Try(from("192.0.2.1", map[string]uint32{api: 9}), l, Trial{Policy: "api", Limit: 2, Rows: 9, From: base, To: base.Add(time.Hour)})
	if err != nil || got.Policy.Refused != 1 {
		t.Errorf("got %+v, %v, want one refusal", got, err)
	}
}
