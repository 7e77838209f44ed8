package catalogue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/allocs"
	"trackway/internal/change"
	"trackway/internal/scale"
)

// fakeLog has one change for each number, from 1 on.
type fakeLog struct {
	changes []change.Change
	make    func(number uint64) change.Change // of a log too long to keep; nil: changes has them all
	length  uint64
	erasure uint64
	looked  int
	broken  error
}

func (l *fakeLog) Synced() uint64 { return max(l.length, uint64(len(l.changes))) }

func (l *fakeLog) LastErasure() uint64 { return l.erasure }

func (l *fakeLog) Changes(after, through uint64) iter.Seq2[[]change.Change, error] {
	return func(yield func([]change.Change, error) bool) {
		if l.broken != nil {
			yield(nil, l.broken)
			return
		}
		for after < min(through, l.Synced()) {
			end := min(after+512, through, l.Synced())
			var some []change.Change
			for n := after + 1; n <= end; n++ {
				if l.make != nil {
					some = append(some, l.make(n))
				} else {
					some = append(some, l.changes[n-1])
				}
			}
			l.looked += len(some)
			if !yield(some, nil) {
				return
			}
			after = end
		}
	}
}

const began = trackway.Micros(20_000) * day

// add appends an event of project 1 to the log.
func (l *fakeLog) add(typ string, customer int, at trackway.Micros, properties string) {
	l.changes = append(l.changes, eventOf(uint64(len(l.changes)+1), typ, customer, at, properties))
}

func eventOf(number uint64, typ string, customer int, at trackway.Micros, properties string) change.Change {
	return change.Change{Number: number, Project: 1, Event: &trackway.Event{
		Seq: number, Project: 1, Customer: trackway.Customer(customer), Type: typ, Time: at, Received: at, Properties: []byte(properties),
	}}
}

var shop = trackway.Project{Number: 1, Name: "shop", Personal: []string{"ShoeSize"}, Hard: []string{"registered"}}

func open(t testing.TB, l *fakeLog, path string, most int) *Catalogue {
	t.Helper()
	c := New(Options{Log: l, Store: "s", Path: path, Most: most, Logger: slog.New(slog.DiscardHandler)})
	c.Reload([]trackway.Project{shop})
	return c
}

// mustLearn runs rounds until there is nothing more to learn.
func (c *Catalogue) mustLearn(t testing.TB) {
	t.Helper()
	for c.position < c.log.Synced() {
		before := c.position
		if err := c.round(); err != nil {
			t.Fatal(err)
		}
		if c.position == before {
			t.Fatalf("a round stays at %d of %d", before, c.log.Synced())
		}
	}
	c.takeForgotten()
}

func (c *Catalogue) view(at trackway.Micros) *View { return c.View(1, "shop", at.Time(), nil) }

func (v *View) typeOf(t testing.TB, name string) Type {
	t.Helper()
	i := slices.IndexFunc(v.Types, func(t Type) bool { return t.Type == name })
	if i < 0 {
		t.Fatalf("there is no type %s", name)
	}
	return v.Types[i]
}

func (t *Type) propertyOf(tb testing.TB, name string) Property {
	tb.Helper()
	i := slices.IndexFunc(t.Properties, func(p Property) bool { return p.Name == name })
	if i < 0 {
		tb.Fatalf("there is no property %s", name)
	}
	return t.Properties[i]
}

// TestExamples: a value becomes an example once enough customers have it, and
// only if nothing about it may be personal.
func TestExamples(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, value string
		want        bool
	}{
		{"plan", `"gold"`, true},
		{"currency", `"EUR"`, true},
		{"step", `3`, true},
		{"state", `"on hold"`, true},
		{"version", `"v1.2"`, true},
		{"plan", `"Anna"`, false},
		{"plan", `"Jane Doe"`, false},
		{"plan", `"jane@example.com"`, false},
		{"plan", `"+31 20 555 0100"`, false},
		{"plan", `"a12345"`, false},
		{"plan", `12345`, false},
		{"plan", `"one two three four"`, false},
		{"plan", `"ørsted"`, false},
		{"plan", `true`, false},
		{"plan", `"` + strings.Repeat("a", 33) + `"`, false},
		{"page", `"/shop"`, true},
		{"page", `"/profile/jane-doe"`, false},
		{"language", `"en"`, true},
		{"login", `"jdoe"`, false},
		{"nickname", `"jd"`, false},
		{"nick", `"anna"`, false},
		{"authorHandle", `"anna"`, false},
		{"Telefon", `12`, false},
		{"monthly_salary", `3000`, false},
		{"number_plate", `"ab-12-cd"`, false},
		{"diagnosis", `"flu"`, false},
		{"age", `42`, false},
		{"buyerAge", `42`, false},
		{"client-ip", `"a"`, false},
		{"first_name", `"anna"`, false},
		{"Email", `"x"`, false},
		{"order_id", `"x"`, false},
		{"shoesize", `"x"`, false},
		{"registered", `"x"`, false},
	} {
		l := new(fakeLog)
		c := open(t, l, filepath.Join(t.TempDir(), File), 1000)
		properties := fmt.Sprintf(`{"%s":%s}`, test.name, test.value)
		for i := range 500 {
			l.add("a", i%(enough-1), began, properties)
		}
		c.mustLearn(t)
		examples := func() []json.RawMessage {
			a := c.view(began).typeOf(t, "a")
			return a.propertyOf(t, test.name).Examples
		}
		if got := examples(); len(got) > 0 {
			t.Errorf("%s: %d customers are enough for %s", properties, enough-1, got)
		}
		for customer := range 200 {
			l.add("a", customer, began, properties)
		}
		c.mustLearn(t)
		if got := examples(); len(got) > 0 != test.want || len(got) > 0 && string(got[0]) != test.value {
			t.Errorf("%s: got the examples %s", properties, got)
		}
	}
}

// TestErasure: no example outlives an erasure, in memory and in the file.
func TestErasure(t *testing.T) {
	t.Parallel()
	l, path := new(fakeLog), filepath.Join(t.TempDir(), File)
	c := open(t, l, path, 1000)
	kept := func() bool {
		t.Helper()
		if err := c.save(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		v, err := json.Marshal(c.view(began))
		if err != nil {
			t.Fatal(err)
		}
		file, view := bytes.Contains(text, []byte("gold")), bytes.Contains(v, []byte("gold"))
		if file != view {
			t.Errorf("in the file: %t, in the view: %t", file, view)
		}
		return view
	}
	learn := func(customers int) {
		for customer := range customers {
			l.add("a", customer, began, `{"plan":"gold"}`)
		}
		c.mustLearn(t)
	}
	learn(5)
	if kept() {
		t.Error("five customers are enough")
	}
	learn(200)
	if !kept() {
		t.Fatal("there is no example")
	}
	c = open(t, l, path, 1000) // a restart
	if !kept() {
		t.Fatal("the example is gone after a restart")
	}
	l.erasure++
	c.mustLearn(t)
	if kept() {
		t.Error("the example outlives an erasure")
	}
	learn(200)
	if !kept() {
		t.Fatal("the example did not come back")
	}
	if c.Forget(); kept() {
		t.Error("the example outlives Forget")
	}
	learn(200)
	secret := shop
	secret.Personal = []string{"plan"}
	if c.Reload([]trackway.Project{secret}); kept() {
		t.Error("the example outlives a reload that makes it personal")
	}
	if learn(200); kept() {
		t.Error("a personal property has an example")
	}
}

// TestFlood: a flood of new types, and of new properties, displaces
// nothing that has been there for days, and what is beyond the bounds is
// counted. A type that comes often, but on one day only, displaces nothing
// either.
func TestFlood(t *testing.T) {
	t.Parallel()
	const most = 400
	room := shareOf(most)
	l := new(fakeLog)
	c := open(t, l, filepath.Join(t.TempDir(), File), most)
	named := func(i int) string { return fmt.Sprintf("real_%c%c", 'a'+i/26, 'a'+i%26) }
	for d := range 3 {
		for i := range room.types {
			l.add(named(i), i, began+trackway.Micros(d)*day, `{"page":1}`)
		}
	}
	c.mustLearn(t)
	flood := uint64(scale.Of(1_000_000, 100_000))
	now := began + 3*day
	n := uint64(len(l.changes))
	old := l.changes
	l.length = n + flood
	l.make = func(number uint64) change.Change {
		if number <= n {
			return old[number-1]
		}
		x := fmt.Sprintf("x%c%c%c%c%c", 'a'+number%26, 'a'+number/26%26, 'a'+number/676%26, 'a'+number/17576%26, 'a'+number/456976%26)
		switch number % 4 {
		case 0:
			return eventOf(number, "often", 1, now, `{}`)
		case 1:
			return eventOf(number, named(0), 1, now, `{"`+x+`":1}`)
		}
		return eventOf(number, x, 1, now, `{"`+x+`":1}`)
	}
	c.mustLearn(t)
	v := c.view(now)
	if len(v.Types) != room.types {
		t.Errorf("got %d types, not %d", len(v.Types), room.types)
	}
	properties := 0
	for i := range room.types {
		r := v.typeOf(t, named(i))
		r.propertyOf(t, "page")
		properties += len(r.Properties)
	}
	if properties > room.properties || properties <= room.types {
		t.Errorf("got %d properties, at most %d", properties, room.properties)
	}
	if v.Exact || v.Events < flood/100*98 || v.Events > flood/100*102 || v.OtherTypes < flood/10*7 || v.typeOf(t, named(0)).OtherProperties < flood/5 {
		t.Errorf("got %d events, %d of other types, exact %t", v.Events, v.OtherTypes, v.Exact)
	}
	p := c.projects[1]
	if len(p.types.waiting) > mostWaiting || p.properties != properties {
		t.Errorf("%d types wait, and %d properties are counted", len(p.types.waiting), p.properties)
	}
}

// TestNewcomer: a type that comes on more days than one that has a place takes
// that place, and is known since it began to wait.
func TestNewcomer(t *testing.T) {
	t.Parallel()
	l := new(fakeLog)
	c := open(t, l, filepath.Join(t.TempDir(), File), 8) // 4 types
	for _, name := range []string{"a", "b", "c", "junk"} {
		l.add(name, 1, began, `{"p":1}`)
	}
	for d := range 4 {
		for _, name := range []string{"a", "b", "c", "late"} {
			l.add(name, 1, began+trackway.Micros(d)*day, `{"p":1}`)
		}
	}
	c.mustLearn(t)
	v := c.view(began + 4*day)
	late := v.typeOf(t, "late")
	if len(v.Types) != 4 || v.OtherTypes == 0 || late.FirstSeen != began.Time().Unix() || late.Events != 4 {
		t.Errorf("got %+v", v)
	}
	l.add("after_long", 1, began+200*day, `{}`)
	c.mustLearn(t)
	c.view(began+200*day).typeOf(t, "after_long")
}

// TestNames: names that hold addresses or numbers of people are not shown.
func TestNames(t *testing.T) {
	t.Parallel()
	l := new(fakeLog)
	c := open(t, l, filepath.Join(t.TempDir(), File), 1000)
	l.add("jane@example.com", 1, began, `{}`)
	l.add("0205550100", 1, began, `{}`)
	l.add("a", 1, began, `{"jane@example.com":1,"ok":2}`)
	c.mustLearn(t)
	v := c.view(began)
	if a := v.typeOf(t, "a"); len(v.Types) != 1 || v.OtherTypes != 2 || len(a.Properties) != 1 || a.OtherProperties != 1 {
		t.Errorf("got %+v", v)
	}
}

// TestSampling: a round looks at a bounded number of changes and bytes, and
// what it learns is right on the average.
func TestSampling(t *testing.T) {
	t.Parallel()
	l := &fakeLog{length: 1_000_000, make: func(number uint64) change.Change {
		if number%10 == 0 {
			return eventOf(number, "rare", int(number), began, `{"p":1}`)
		}
		return eventOf(number, "often", int(number), began, `{"p":1,"q":"x"}`)
	}}
	c := open(t, l, filepath.Join(t.TempDir(), File), 1000)
	rounds := 0
	for c.position < l.length {
		before := l.looked
		if err := c.round(); err != nil {
			t.Fatal(err)
		}
		if n := l.looked - before; n > mostLooked {
			t.Fatalf("a round looks at %d changes", n)
		}
		rounds++
	}
	burst := &fakeLog{length: 3 * mostLooked, make: l.make}
	small := open(t, burst, filepath.Join(t.TempDir(), File), 1000)
	small.mustLearn(t)
	if v := small.view(began); !v.Exact || v.Events != 3*mostLooked {
		t.Errorf("a short burst: got %d events, exact %t", v.Events, v.Exact)
	}
	v := c.view(began)
	if rare := v.typeOf(t, "rare"); v.Exact || rare.Share < 0.09 || rare.Share > 0.11 || v.Events < 950_000 || v.Events > 1_050_000 || rounds > 20 {
		t.Errorf("after %d rounds: got %d events, and a share of %v", rounds, v.Events, rare.Share)
	}

	large := `{"p":"` + strings.Repeat("x", 100_000) + `"}`
	l.make = func(number uint64) change.Change { return eventOf(number, "large", 1, began, large) }
	l.length += 2000
	for c.position < l.length {
		before := l.looked
		if err := c.round(); err != nil {
			t.Fatal(err)
		}
		if c.bytes > 10*usualBytes && l.looked-before > 2*512 {
			t.Fatalf("a round looks at %d large events", l.looked-before)
		}
	}
}

// TestFile: the file holds what is known; another store, version or a flipped
// bit makes the catalogue begin again.
func TestFile(t *testing.T) {
	t.Parallel()
	l, path := new(fakeLog), filepath.Join(t.TempDir(), File)
	for i := range 40 {
		l.add("a", i, began, `{"n":null,"plan":"gold","x":12}`)
	}
	c := open(t, l, path, 1000)
	c.mustLearn(t)
	before, err := json.Marshal(c.view(began))
	if err := errors.Join(err, c.save()); err != nil {
		t.Fatal(err)
	}
	again := open(t, l, path, 1000)
	after, err := json.Marshal(again.view(began))
	if err != nil || !bytes.Equal(before, after) || again.position != 40 {
		t.Errorf("got %s (%v), not %s", after, err, before)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"flipped bit":   bytes.Replace(whole, []byte(`"days":1`), []byte(`"days":3`), 1),
		"other version": []byte(`{"version":2,"sum":"00000000"}`),
		"no JSON":       []byte("x"),
		"other store":   nil,
	} {
		store := "s"
		if text == nil {
			text, store = whole, "t"
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		c := New(Options{Log: l, Store: store, Path: path, Most: 1000, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		if c.position != 0 || len(c.projects) != 0 || !strings.Contains(said.String(), "learned again") {
			t.Errorf("%s: it begins at %d, with %d projects, and says %s", name, c.position, len(c.projects), said.String())
		}
	}
}

// TestReload: removed projects are forgotten, and the others fit into the room
// that is left.
func TestReload(t *testing.T) {
	t.Parallel()
	l := new(fakeLog)
	for i := range 30 {
		l.add(fmt.Sprintf("t%c", 'a'+i), i, began, `{"a":1,"b":2,"c":3}`)
	}
	c := open(t, l, filepath.Join(t.TempDir(), File), 1000)
	c.mustLearn(t)
	if n := len(c.view(began).Types); n != 30 {
		t.Fatalf("got %d types", n)
	}
	many := []trackway.Project{shop}
	for i := range 99 {
		many = append(many, trackway.Project{Number: uint32(i + 2)})
	}
	c.Reload(many)
	room, p := shareOf(10), c.projects[1]
	if len(p.types.known) != room.types || p.properties > room.properties {
		t.Errorf("got %d types and %d properties in the room of %+v", len(p.types.known), p.properties, room)
	}
	c.Reload(many[1:])
	if len(c.view(began).Types) != 0 {
		t.Error("a removed project is still known")
	}
}

// TestRestored: if the store has fewer changes than the catalogue knew, it goes
// on with what comes.
func TestRestored(t *testing.T) {
	t.Parallel()
	l := new(fakeLog)
	for range 10 {
		l.add("a", 1, began, `{}`)
	}
	c := open(t, l, filepath.Join(t.TempDir(), File), 1000)
	c.mustLearn(t)
	l.changes = l.changes[:5]
	if err := c.round(); err != nil {
		t.Fatal(err)
	}
	l.add("b", 1, began, `{}`)
	c.mustLearn(t)
	c.view(began).typeOf(t, "b")
}

// TestBroken: after an error, the same changes are read again.
func TestBroken(t *testing.T) {
	t.Parallel()
	l := new(fakeLog)
	l.add("a", 1, began, `{}`)
	c := open(t, l, filepath.Join(t.TempDir(), File), 1000)
	l.broken = errors.New("input/output error")
	if err := c.round(); !errors.Is(err, l.broken) {
		t.Fatalf("got %v", err)
	}
	l.broken = nil
	c.mustLearn(t)
	if v := c.view(began); v.Events != 1 {
		t.Errorf("got %d events", v.Events)
	}
}

// TestAllocations: learning an event of a known form allocates nothing.
func TestAllocations(t *testing.T) {
	l := new(fakeLog)
	for i := range 500 {
		l.add("purchase", i, began, typical)
	}
	c := open(t, l, filepath.Join(t.TempDir(), File), 1000)
	c.learn(l.changes, 1)
	if n := allocs.PerRun(10, func() { c.learn(l.changes, 1) }); n > 0 {
		t.Errorf("learning 500 events allocates %v times", n)
	}
}

const typical = `{"amount":12.5,"campaign":"spring","currency":"EUR","device":"phone","items":[1,2,3],"page":"/checkout/done","paid":true,"referrer":"https://example.com/a","step":3,"voucher":null}`

// BenchmarkLearn learns an event with ten properties.
func BenchmarkLearn(b *testing.B) {
	l := new(fakeLog)
	for i := range 500 {
		l.add([]string{"purchase", "visit", "search"}[i%3], i, began, typical)
	}
	c := open(b, l, filepath.Join(b.TempDir(), File), 1000)
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(l.changes) {
		c.learn(l.changes, 1)
	}
	if c.view(began).Events == 0 {
		b.Fatal("nothing was learned")
	}
}
