package store

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/change"
	"trackway/internal/identity"
	"trackway/internal/query"
	"trackway/internal/store/cache"
)

// model is the expected content of a store, kept in the simplest way. To assign
// identifiers it relies on internal/identity, whose tests have their own model.
// It uses only the customers of an identity decision, and none of the index
// entries, so that it tests the store's indexes independently.
type model struct {
	customers []*modelCustomer // by number, from 1
	events    []*modelEvent    // in the order of the log
	usage     [3]query.Usage   // by project; all on the first of days
}

type modelCustomer struct {
	project uint32
	holder  *identity.Holder
	props   map[string]trackway.DatedProperty
}

type modelEvent struct {
	trackway.Event
	properties []trackway.Property
	merge      bool // it records a merge, and was not erased
	expired    bool // removed because of its age
	unique     bool // its sender chose its time, and it was not erased: a second one is a duplicate
}

func (m *model) holderOf(project uint32, id trackway.Identifier) *identity.Holder {
	for _, c := range m.customers {
		if c.project == project && slices.ContainsFunc(c.holder.IDs, func(own identity.ID) bool { return own.Identifier == id }) {
			return c.holder
		}
	}
	return nil
}

func (m *model) customer(n trackway.Customer) *modelCustomer { return m.customers[n-1] }

// survivor returns the customer that n is part of now.
func (m *model) survivor(n trackway.Customer) trackway.Customer {
	for m.customer(n).holder.MergedInto != 0 {
		n = m.customer(n).holder.MergedInto
	}
	return n
}

func (m *model) apply(c *trackway.Command) trackway.Result {
	found := make([]*identity.Holder, len(c.IDs))
	for i, id := range c.IDs {
		if found[i] = m.holderOf(c.Project, id); found[i] != nil {
			found[i].Properties = len(m.customer(found[i].Customer).props)
		}
	}
	d, refused := identity.Resolve(c.IDs, found, c.Received)
	if refused != nil {
		return trackway.Result{Err: refused}
	}
	h := d.Holder
	if h.Customer == 0 {
		h.Customer = trackway.Customer(len(m.customers) + 1)
		m.customers = append(m.customers, &modelCustomer{project: c.Project, holder: h, props: make(map[string]trackway.DatedProperty)})
	}
	for _, absorbed := range d.Absorbed {
		m.merge(c, h, d.Before, absorbed)
	}
	result := trackway.Result{Customer: h.Customer}
	if c.Kind == trackway.UpdateCustomer {
		result.Err = m.update(m.customer(h.Customer), c)
		return result
	}
	result.Seq = m.add(h.Customer, c)
	result.Duplicate = result.Seq == 0
	return result
}

func (m *model) count(c *trackway.Command, r trackway.Result) {
	u := &m.usage[c.Project]
	u.Created, u.Absorbed = 0, 0
	for _, other := range m.customers {
		if other.project == c.Project {
			u.Created++
			if other.holder.MergedInto != 0 {
				u.Absorbed++
			}
		}
	}
	switch {
	case r.Err != nil:
		u.Refused++
	case r.Duplicate:
		u.Duplicate++
	case r.Seq != 0:
		u.Stored++
	}
}

func (m *model) merge(c *trackway.Command, survivor *identity.Holder, before []identity.ID, absorbed *identity.Holder) {
	to, from := m.customer(survivor.Customer), m.customer(absorbed.Customer)
	for name, p := range from.props {
		if own, ok := to.props[name]; !ok || own.Updated < p.Updated {
			to.props[name] = p
		}
	}
	m.store(&modelEvent{
		merge: true,
		Event: trackway.Event{Project: c.Project, Customer: survivor.Customer, Type: "merge", Time: c.Received, Received: c.Received},
		properties: []trackway.Property{
			{Name: "absorbed_ids", Value: canonjson.AppendIDs(nil, plain(absorbed.IDs))},
			{Name: "cause_ids", Value: canonjson.AppendIDs(nil, c.IDs)},
			{Name: "survivor_ids", Value: canonjson.AppendIDs(nil, plain(before))},
		},
	})
	from.props = nil
	absorbed.IDs, absorbed.MergedInto = nil, survivor.Customer
}

func plain(ids []identity.ID) []trackway.Identifier {
	out := make([]trackway.Identifier, 0, len(ids))
	for _, id := range ids {
		out = append(out, id.Identifier)
	}
	return out
}

func (m *model) update(c *modelCustomer, cmd *trackway.Command) *trackway.Error {
	var over bool
	for _, p := range cmd.Properties {
		own, known := c.props[p.Name]
		switch {
		case !known && len(c.props) >= trackway.MaxProperties:
			over = true
		case !known || min(own.Updated, cmd.Received) <= cmd.Time:
			c.props[p.Name] = trackway.DatedProperty{Property: p, Updated: cmd.Time}
		}
	}
	if over {
		return &trackway.Error{Code: trackway.Invalid}
	}
	return nil
}

func (m *model) store(e *modelEvent) uint64 {
	m.events = append(m.events, e)
	return uint64(len(m.events))
}

// number copies the store's sequence numbers to those of the last events that
// have no number yet.
func (m *model) number(s *Store) error {
	at := len(m.events)
	for at > 0 && m.events[at-1].Seq == 0 {
		at--
	}
	last := uint64(0)
	if at > 0 {
		last = m.events[at-1].Seq
	}
	for some, err := range s.Changes(last, change.NoCursor) {
		for i := range some {
			if err != nil || some[i].Event == nil {
				continue
			}
			if at == len(m.events) {
				return fmt.Errorf("event %d is too many", some[i].Number)
			}
			m.events[at].Seq = some[i].Number
			at++
		}
		if err != nil {
			return err
		}
	}
	if at < len(m.events) {
		return fmt.Errorf("%d events are missing", len(m.events)-at)
	}
	return nil
}

// add returns the number of events afterwards, or 0 if the event is a
// duplicate.
func (m *model) add(c trackway.Customer, cmd *trackway.Command) uint64 {
	e := &modelEvent{
		Event:      trackway.Event{Project: cmd.Project, Customer: c, Type: cmd.Type, Time: cmd.Time, Received: cmd.Received},
		properties: cmd.Properties, unique: cmd.TimeGiven,
	}
	if e.unique && slices.ContainsFunc(m.events, func(old *modelEvent) bool {
		return old.unique && !old.expired && m.survivor(old.Customer) == c && old.Type == e.Type && old.Time == e.Time &&
			bytes.Equal(canonjson.AppendObject(nil, old.properties), canonjson.AppendObject(nil, e.properties))
	}) {
		return 0
	}
	return m.store(e)
}

func (m *model) erase(c trackway.Customer, personal []string) {
	c = m.survivor(c)
	for _, e := range m.events {
		if m.survivor(e.Customer) != c {
			continue
		}
		kept := slices.DeleteFunc(slices.Clone(e.properties), func(p trackway.Property) bool {
			return e.merge || slices.Contains(personal, p.Name)
		})
		if len(kept) < len(e.properties) {
			e.properties, e.unique, e.merge = kept, false, false
		}
	}
	for _, name := range personal {
		delete(m.customer(c).props, name)
	}
	for _, e := range m.events {
		if e.merge && e.Project == m.customer(c).project {
			e.properties = without(e.properties, m.customer(c).holder.IDs)
		}
	}
	m.customer(c).holder.IDs = nil
}

// without removes erased identifiers from a merge's properties.
func without(properties []trackway.Property, ids []identity.ID) []trackway.Property {
	kept := slices.Clone(properties)
	for i := range kept {
		kept[i].Value = canonjson.AppendIDs(nil, slices.DeleteFunc(slices.Collect(canonjson.IDsIn(kept[i].Value)), func(id trackway.Identifier) bool {
			return slices.ContainsFunc(ids, func(erased identity.ID) bool { return erased.Identifier == id })
		}))
	}
	return kept
}

// timeline returns the customer's events in their order of arrival.
func (m *model) timeline(c trackway.Customer) (events []trackway.Event) {
	for _, e := range m.events {
		if m.survivor(e.Customer) == c && !e.expired {
			one := e.Event
			one.Properties = canonjson.AppendObject(nil, e.properties)
			events = append(events, one)
		}
	}
	return events
}

func (m *model) profile(c *modelCustomer) *trackway.Profile {
	p := &trackway.Profile{Customer: c.holder.Customer, Created: c.holder.Created, IDs: plain(c.holder.IDs)}
	for _, name := range slices.Sorted(maps.Keys(c.props)) {
		p.Properties = append(p.Properties, c.props[name])
	}
	return p
}

// These bounds are so low that commands reach both all the time.
const (
	fewMoved = 2
	fewKept  = 3
)

// simulation sends the same commands to a store and to its model.
type simulation struct {
	fs    vfs.FS
	store *Store
	model model
	now   trackway.Micros

	copies fakeCopies
}

var machineIDs = func() (ids []trackway.Identifier) {
	for _, name := range []string{"cookie", "device", "registered", "email"} {
		for _, value := range []string{"a", "b", "a\x00", "\x00a", "a\xff"} {
			ids = append(ids, identifierOf(name, value))
		}
	}
	return ids
}()

var machinePersonal = []string{"", "email"}

func drawCommand(t *rapid.T, now trackway.Micros) trackway.Command {
	c := trackway.Command{
		Kind:     rapid.SampledFrom([]trackway.Kind{trackway.AddEvent, trackway.UpdateCustomer}).Draw(t, "kind"),
		Project:  rapid.SampledFrom([]uint32{1, 1, 1, 2}).Draw(t, "project"),
		IDs:      rapid.SliceOfNDistinct(rapid.SampledFrom(machineIDs), 0, 4, uniqueHard).Draw(t, "ids"),
		Received: now,
		Time:     now,
	}
	c.Anonymous = len(c.IDs) == 0
	if c.TimeGiven = rapid.IntRange(0, 3).Draw(t, "given") > 0; c.TimeGiven {
		c.Time = trackway.Micros(rapid.SampledFrom([]int64{0, 255, 256, 1 << 40}).Draw(t, "time"))
	}
	values := rapid.MapOfN(
		rapid.SampledFrom([]string{"", "a", "b\x00", "email", "ÿ"}),
		rapid.SampledFrom([]string{"1", "null", `"x"`, `{"a":[1]}`}), 0, 4,
	).Draw(t, "properties")
	if c.Kind == trackway.AddEvent {
		c.Type = rapid.SampledFrom([]string{"e", "f", "merge"}).Draw(t, "type")
	} else if rapid.IntRange(0, 7).Draw(t, "crowd") == 0 {
		from := rapid.SampledFrom([]int{0, 100, 200}).Draw(t, "from")
		for i := range 150 {
			values[fmt.Sprint("p", from+i)] = "0"
		}
	}
	c.Properties = propertiesOf(values)
	return c
}

// uniqueHard returns the same text for identifiers that cannot be in one
// command.
func uniqueHard(id trackway.Identifier) string {
	if id.Hard {
		return id.Name
	}
	return id.Name + "=" + id.Value
}

func (m *simulation) apply(t *rapid.T, n int) {
	cmds := make([]trackway.Command, n)
	for i := range cmds {
		m.now++
		cmds[i] = drawCommand(t, m.now)
	}
	results := make([]trackway.Result, n)
	if err := m.store.Apply(cmds, results); err != nil {
		t.Fatal(err)
	}
	wanted := make([]trackway.Result, n)
	for i := range cmds {
		wanted[i] = m.model.apply(&cmds[i])
	}
	if err := m.model.number(m.store); err != nil {
		t.Fatal(err)
	}
	for i := range cmds {
		got, want := results[i], wanted[i]
		if want.Seq != 0 {
			want.Seq = m.model.events[want.Seq-1].Seq
		}
		m.model.count(&cmds[i], want)
		if (got.Err != nil) != (want.Err != nil) || (got.Err != nil && got.Err.Code != want.Err.Code) {
			t.Fatalf("%v: got %v, want %v", cmds[i], got.Err, want.Err)
		}
		got.Err, want.Err = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%v: got %+v, want %+v", cmds[i], got, want)
		}
	}
}

func (m *simulation) erase(t *rapid.T) {
	if len(m.model.customers) == 0 {
		t.Skip("nobody to erase")
	}
	c := rapid.SampledFrom(m.model.customers).Draw(t, "customer")
	if _, err := m.store.Erase(c.project, c.holder.Customer, machinePersonal, m.now); err != nil {
		t.Fatal(err)
	}
	m.model.erase(c.holder.Customer, machinePersonal)
}

// expire removes the events of one type, or of all types, before a random time.
func (m *simulation) expire(t *rapid.T) {
	at := trackway.Micros(rapid.SampledFrom([]int64{0, 1, 256, 1010, 1 << 40}).Draw(t, "before"))
	typ := rapid.SampledFrom([]string{"", "e", "merge"}).Draw(t, "type")
	got, err := m.store.Expire(t.Context(), 1, 1<<40, func(_ uint32, of string) trackway.Micros {
		if typ != "" && of != typ {
			return query.Forever
		}
		return at
	})
	if err != nil {
		t.Fatal(err)
	}
	want, missed, unbounded := query.Expired{Soonest: query.Never, End: true}, make(map[string]int), m.unbounded(t)
	for _, e := range m.model.events {
		switch old := min(e.Time, e.Received) < at; {
		case e.expired || typ != "" && e.Type != typ || e.Seq > unbounded:
		case old && m.held(e):
			want.Soonest = 0
		case old:
			e.expired = true
			m.model.usage[e.Project].Expired++
			want.Removed++
			for _, c := range m.copies.list {
				if e.Seq > c.Through {
					missed[c.Name]++
				}
			}
		default:
			want.Soonest = min(want.Soonest, e.Time-at, e.Received-at)
		}
	}
	if got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	if diff := gocmp.Diff(missed, m.copies.missed, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("destinations miss (-want): %s", diff)
	}
	m.copies.missed = nil
}

// cleanUp removes what was erased from the files, which does not affect any
// reads.
func (m *simulation) cleanUp(t *rapid.T) {
	if n, _ := m.store.pending.Pending(); n == 0 {
		t.Skip("nothing was erased")
	}
	if _, err := m.store.CleanUp(t.Context(), func() trackway.Micros { return m.now }); err != nil {
		t.Fatal(err)
	}
}

func (m *simulation) reopen(t *rapid.T) {
	if err := m.store.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

func (m *simulation) open(t *rapid.T) {
	s, err := Open("data", Options{FS: m.fs, Cache: 1 << 20, Fatal: func(err error) { panic(err) }})
	if err != nil {
		t.Fatal(err)
	}
	s.cache = cache.New(smallCache)
	s.counts.Most = smallCache
	s.mostMoved, s.mostKept = fewMoved, fewKept
	s.SetCopies(&m.copies)
	m.store = s
}

func newSimulation(t *rapid.T, fs vfs.FS) *simulation {
	m := &simulation{fs: fs, now: 1000}
	m.open(t)
	for _, token := range []string{"one", "two"} {
		if err := m.store.Register([]trackway.Project{{Token: token}}); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// check compares everything that can be read, in both directions of time.
func (m *simulation) check(t *rapid.T) {
	mustBeConsistent(t, m.store)
	m.checkPages(t)
	v := m.store.Snapshot()
	defer func() { _ = v.Close() }()
	for _, project := range []uint32{1, 2} {
		for _, id := range machineIDs {
			got, err := v.Find(project, id)
			want := trackway.Customer(0)
			if h := m.model.holderOf(project, id); h != nil {
				want = h.Customer
			}
			if got != want || err != nil {
				t.Fatalf("%v leads to %d (%v), want %d", id, got, err, want)
			}
		}
		if err := v.Usage(project, func(day query.Day, u query.Usage) bool {
			if day != 0 || u != m.model.usage[project] {
				t.Fatalf("got usage %+v on day %d, want %+v", u, day, m.model.usage[project])
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		var got, want []*trackway.Profile
		if err := query.Profiles(t.Context(), v, project, func(p *trackway.Profile) bool { got = append(got, p); return true }); err != nil {
			t.Fatal(err)
		}
		for _, c := range m.model.customers {
			if c.project == project && c.holder.MergedInto == 0 {
				want = append(want, m.model.profile(c))
			}
		}
		if d := diff(want, got); d != "" {
			t.Fatalf("customers (-want): %s", d)
		}
		for _, p := range got {
			m.checkEvents(t, project, p.Customer)
		}
	}
}

// diff returns cmp.Diff, which is slow, only if there is a difference.
func diff(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return gocmp.Diff(want, got)
}

// byTimeAndArrival is the order in which a customer's events are read.
func byTimeAndArrival(a, b trackway.Event) int {
	return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Seq, b.Seq))
}

func (m *simulation) checkEvents(t *rapid.T, project uint32, c trackway.Customer) {
	v := m.store.Snapshot()
	defer func() { _ = v.Close() }()
	var lists [2][]trackway.Event
	for i, newestFirst := range []bool{false, true} {
		err := v.Events(project, c, newestFirst, func(e *trackway.Event) bool {
			copied := *e
			copied.Properties = bytes.Clone(e.Properties)
			lists[i] = append(lists[i], copied)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	got := lists[0]
	if !slices.IsSortedFunc(got, byTimeAndArrival) {
		t.Fatalf("events of customer %d are not in order of time and arrival: %v", c, got)
	}
	slices.Reverse(lists[1])
	if d := diff(got, lists[1]); d != "" {
		t.Fatalf("events of customer %d, newest first, are not the others turned round: %s", c, d)
	}
	slices.SortFunc(got, func(a, b trackway.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	if d := diff(m.model.timeline(c), got); d != "" {
		t.Fatalf("events of customer %d (-want): %s", c, d)
	}
}

func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newSimulation(t, vfs.NewMem())
		defer func() {
			if err := m.store.Close(); err != nil {
				t.Fatal(err)
			}
		}()
		steps := 0
		t.Repeat(map[string]func(*rapid.T){
			// Comparing everything takes most of the time, so do not do it
			// after each step.
			"": func(t *rapid.T) {
				if steps++; steps%5 == 0 {
					m.check(t)
				}
			},
			"single": func(t *rapid.T) { m.apply(t, 1) },
			"more":   func(t *rapid.T) { m.apply(t, 1) },
			"batch":  func(t *rapid.T) { m.apply(t, rapid.IntRange(2, 8).Draw(t, "commands")) },
			"erase":  m.erase,
			"expire": m.expire,
			"follow": m.follow,
			"clean":  m.cleanUp,
			"reopen": m.reopen,
		})
		m.check(t)
	})
}
