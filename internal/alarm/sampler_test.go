package alarm

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/catalogue"
	"trackway/internal/config/alarming"
	"trackway/internal/contract/book"
	"trackway/internal/destination"
	"trackway/internal/limit"
	"trackway/internal/query"
	"trackway/internal/rates"
)

// usages is a store whose usage cannot always be read.
type usages struct {
	err     error
	unread  uint32
	refused uint64
}

func (u *usages) Snapshot() query.Snapshot { return usageSnapshot{nil, u.err, u.unread, u.refused} }

type usageSnapshot struct {
	query.Snapshot

	err     error
	unread  uint32 // the project to which err is limited; 0: all
	refused uint64
}

func (s usageSnapshot) Usage(project uint32, yield func(query.Day, query.Usage) bool) error {
	yield(0, query.Usage{Refused: s.refused})
	if project != s.unread && s.unread != 0 {
		return nil
	}
	return s.err
}

func (s usageSnapshot) Close() error { return nil }

// A number that cannot be read stays as it was. A project that is missing would
// look like one that does not exist any more.
func TestUsageUnreadable(t *testing.T) {
	t.Parallel()
	counts := &usages{refused: 7}
	s := Sampler{
		Contracts: book.New().Hours, NewTypes: func(uint32) []catalogue.Beginning { return nil },
		ChangedTypes: func(uint32) []catalogue.Changed { return nil },
		ByKey: func(_ time.Time, key rates.Key) (commands, refused uint64) {
			return uint64(key.Project), uint64(len(key.Name))
		},
		Dir: t.TempDir(), Folders: func() []string { return nil }, Metrics: prometheus.NewRegistry(), Counts: counts,
		Destinations: func() []destination.Status { return nil },
		Limits:       func(time.Time) limit.Report { return limit.Report{} },
		Projects: func() []trackway.Project {
			return []trackway.Project{{Name: "shop", Number: 1, Keys: []trackway.Key{{Name: "web"}}}}
		},
	}
	now := time.Now()
	take := func(wantErr bool) {
		t.Helper()
		got, err := s.Take(now)
		if (err != nil) != wantErr || len(got.Projects) != 1 || got.Projects[0].Refused != 7 {
			t.Errorf("got %+v, %v", got.Projects, err)
		}
		if want := []Key{{"shop", "web", 1, 3}}; !slices.Equal(got.Keys, want) {
			t.Errorf("got keys %+v, want %+v", got.Keys, want)
		}
	}
	take(false)
	counts.err = errors.New("damaged")
	now = now.Add(time.Minute)
	take(true)
	now = now.Add(10 * time.Second)
	take(false)
}

// TestNeverRead: a project whose usage could not be read since the start is not
// missing from a whole sample: its alarms would end, as if it was not watched.
func TestNeverRead(t *testing.T) {
	t.Parallel()
	counts := &usages{refused: 7, unread: 2, err: errors.New("nobody answers")}
	s := Sampler{
		Contracts: book.New().Hours, NewTypes: func(uint32) []catalogue.Beginning { return nil },
		ChangedTypes: func(uint32) []catalogue.Changed { return nil },
		Dir:          t.TempDir(), Folders: func() []string { return nil }, Metrics: prometheus.NewRegistry(), Counts: counts,
		Destinations: func() []destination.Status { return nil },
		Limits:       func(time.Time) limit.Report { return limit.Report{} },
		Projects: func() []trackway.Project {
			return []trackway.Project{{Name: "shop", Number: 1}, {Name: "app", Number: 2}}
		},
	}
	now := time.Now()
	for i, want := range []struct {
		projects int
		failed   bool
	}{{1, true}, {1, true}, {1, true}, {1, true}, {1, true}, {2, false}, {2, false}} {
		if i == 5 {
			counts.err = nil
		}
		got, err := s.Take(now)
		if len(got.Projects) != want.projects || (err != nil) != want.failed {
			t.Errorf("look %d: got %+v, %v", i, got.Projects, err)
		}
		now = now.Add(10 * time.Second)
	}
}

// TestUsageOfOthers: if the usage of one project cannot be read, because no
// server that holds it answers, that of the others is.
func TestUsageOfOthers(t *testing.T) {
	t.Parallel()
	counts := &usages{refused: 7}
	s := Sampler{
		NewTypes: func(uint32) []catalogue.Beginning { return nil }, ChangedTypes: func(uint32) []catalogue.Changed { return nil }, Counts: counts,
		Projects: func() []trackway.Project {
			return []trackway.Project{{Name: "shop", Number: 1}, {Name: "app", Number: 2}, {Name: "blog", Number: 3}}
		},
	}
	var err error
	if s.projects, err = s.readUsage(); err != nil {
		t.Fatal(err)
	}
	counts.refused, counts.unread, counts.err = 9, 2, errors.New("nobody answers")
	got, err := s.readUsage()
	if err == nil || len(got) != 3 || got[0].Refused != 9 || got[1].Refused != 7 || got[2].Refused != 9 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestNewType: an alarm about new types rings for a project as long as one of
// them is new.
func TestNewType(t *testing.T) {
	t.Parallel()
	now := time.Now()
	rules := []alarming.Rule{{Kind: alarming.NewType, Project: "shop", Age: time.Hour}}
	ago := func(typ string, d time.Duration) catalogue.Beginning {
		return catalogue.Beginning{Type: typ, First: now.Add(-d)}
	}
	for _, test := range []struct {
		types []catalogue.Beginning
		bad   bool
		text  string
	}{
		{nil, false, ""},
		{[]catalogue.Beginning{ago("buy", 2*time.Hour)}, false, ""},
		{[]catalogue.Beginning{ago("buy", time.Minute), ago("visit", 2*time.Hour)}, true, "One new type of events has come in project shop, the newest of them: buy."},
		{[]catalogue.Beginning{ago("buy", 2*time.Minute), ago("bye", time.Minute)}, true, "2 new types of events have come in project shop, the newest of them: bye."},
	} {
		r := &recent{samples: []Sample{{At: now, Projects: []Project{{Name: "other", New: test.types}, {Name: "shop", New: test.types}}}}}
		got := judgeSample(rules, r)
		if len(got) != 1 || got[0].subject != "shop" || got[0].bad != test.bad || test.bad && got[0].text != test.text {
			t.Errorf("%v: got %+v", test.types, got)
		}
	}
}

// TestChangedType: an alarm about changed types rings for a project if enough
// values have a JSON type that is new.
func TestChangedType(t *testing.T) {
	t.Parallel()
	now := time.Now()
	rules := []alarming.Rule{{Kind: alarming.ChangedType, Project: "shop", Least: 10, Age: time.Hour}}
	ago := func(property string, values uint64, d time.Duration) catalogue.Changed {
		return catalogue.Changed{Type: "buy", Property: property, Before: "number", Now: "string", First: now.Add(-d), Values: values}
	}
	for _, test := range []struct {
		changed []catalogue.Changed
		bad     bool
		text    string
	}{
		{nil, false, ""},
		{[]catalogue.Changed{ago("price", 9, time.Minute), ago("tax", 10, 2*time.Hour)}, false, ""},
		{[]catalogue.Changed{ago("price", 10, time.Minute)}, true, "One property has values of a new JSON type in project shop, the newest of them: price of type buy (string, before number)."},
		{[]catalogue.Changed{ago("price", 10, 2*time.Minute), ago("tax", 10, time.Minute)}, true, "2 properties have values of a new JSON type in project shop, the newest of them: tax of type buy (string, before number)."},
	} {
		r := &recent{samples: []Sample{{At: now, Projects: []Project{{Name: "other", Changed: test.changed}, {Name: "shop", Changed: test.changed}}}}}
		got := judgeSample(rules, r)
		if len(got) != 1 || got[0].subject != "shop" || got[0].bad != test.bad || test.bad && got[0].text != test.text {
			t.Errorf("%v: got %+v", test.changed, got)
		}
	}
}

// TestKeyRefused: an alarm about refusals of a key rings if enough commands
// came by it, and too many of them were refused. It ends once they are not.
func TestKeyRefused(t *testing.T) {
	t.Parallel()
	rules := []alarming.Rule{{Kind: alarming.KeyRefused, Project: "shop", Percent: 20, Least: 100}}
	var r recent
	for _, test := range []struct {
		key      Key
		say, bad bool
	}{
		{Key{"shop", "web", 100, 21}, true, true},
		{Key{"shop", "web", 100, 20}, true, false},
		{Key{"shop", "web", 99, 99}, true, false},
		{Key{"shop", "web", 0, 0}, true, false},
		{Key{"other", "web", 100, 100}, false, false},
	} {
		r.add(&Sample{At: time.Now(), Keys: []Key{test.key}})
		got := judgeSample(rules, &r)
		if said := len(got) == 1; said != test.say || said && (got[0].bad != test.bad || got[0].subject != "shop / web") {
			t.Errorf("%+v: got %+v", test.key, got)
		}
		if n := len(r.samples); n > 1 && r.samples[n-2].Keys != nil {
			t.Error("an older sample keeps its keys")
		}
	}
}

// TestContractBroken: an alarm about a contract rings if there are enough
// events, and too many of them broke it.
func TestContractBroken(t *testing.T) {
	t.Parallel()
	rules := []alarming.Rule{{Kind: alarming.ContractBroken, Project: "shop", Percent: 5, Least: 20}}
	for _, test := range []struct {
		hour     book.Hour
		say, bad bool
	}{
		{book.Hour{Project: "shop", Type: "buy", Checked: 100, Broken: 6}, true, true},
		{book.Hour{Project: "shop", Type: "buy", Checked: 100, Broken: 5}, true, false},
		{book.Hour{Project: "shop", Type: "buy", Checked: 19, Broken: 19}, true, false},
		{book.Hour{Project: "other", Type: "buy", Checked: 100, Broken: 100}, false, false},
	} {
		r := &recent{samples: []Sample{{At: time.Now(), Contracts: []book.Hour{test.hour}}}}
		got := judgeSample(rules, r)
		if said := len(got) == 1; said != test.say || said && (got[0].bad != test.bad || got[0].subject != "shop / buy") {
			t.Errorf("%+v: got %+v", test.hour, got)
		}
	}
}
