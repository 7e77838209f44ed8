package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/entry"
	"trackway/internal/identity"
	"trackway/internal/query"
	"trackway/internal/siphash"
	"trackway/internal/store/cache"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
	"trackway/internal/store/recent"
	"trackway/internal/store/repeats"
	"trackway/internal/store/timeline"
	"trackway/internal/store/totals"
)

const demo = uint32(1) // the project of most tests

// smallCache is a size, in bytes, of the cache of identities that makes it
// forget constantly.
const smallCache = 6

func mustOpen(tb testing.TB, fs vfs.FS) *Store {
	tb.Helper()
	s, err := Open("data", Options{FS: fs, Cache: 1 << 20, Fatal: func(err error) { panic(err) }})
	if err != nil {
		tb.Fatal(err)
	}
	s.cache = cache.New(smallCache)
	s.counts.Most = smallCache
	return s
}

// openTest opens a store in memory, and closes it at the end of the test.
func openTest(tb testing.TB) *Store {
	tb.Helper()
	s := mustOpen(tb, vfs.NewMem())
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// contents is everything that a store holds, table by table.
type contents struct {
	format    string
	key       *timeline.Key // nil: hashes are without one
	projects  map[string]uint32
	holders   map[trackway.Customer]*identity.Holder
	projectOf map[trackway.Customer]uint32
	ids       map[string]trackway.Customer // by key
	events    map[uint64]trackway.Event
	timeline  map[uint64][]timelineEntry // by sequence number
	props     map[trackway.Customer]int
	kept      map[[2]trackway.Customer]bool // survivor and absorbed customer whose timeline stayed
	usage     query.Usage
	nextSeq   uint64 // as noted when the last event was removed; 0: not noted
	counts    map[string]string
	types     map[uint32]map[string]uint32 // by project
	counted   uint64
	changes   map[uint64]change.Change // that are no events
	latest    map[string]change.Change // of customers, by key
	repeats   map[string]uint64        // events that are recognized by their content, by key
}

type timelineEntry struct {
	customer trackway.Customer
	at       trackway.Micros
	tail     uint64
}

// readAll reads every key as docs/format.md describes it.
func readAll(from pebble.Reader) (*contents, error) {
	c := &contents{
		projects: make(map[string]uint32), holders: make(map[trackway.Customer]*identity.Holder),
		projectOf: make(map[trackway.Customer]uint32), ids: make(map[string]trackway.Customer),
		events: make(map[uint64]trackway.Event), timeline: make(map[uint64][]timelineEntry),
		props: make(map[trackway.Customer]int), kept: make(map[[2]trackway.Customer]bool),
		changes: make(map[uint64]change.Change), latest: make(map[string]change.Change),
		repeats: make(map[string]uint64),
		counts:  make(map[string]string), types: make(map[uint32]map[string]uint32),
	}
	it, err := from.NewIter(nil)
	if err != nil {
		return nil, err
	}
	for it.First(); it.Valid(); it.Next() {
		if err := c.read(it.Key(), it.Value()); err != nil {
			return nil, fmt.Errorf("%q: %w", it.Key(), err)
		}
	}
	if err := it.Error(); err != nil {
		return nil, err
	}
	return c, it.Close()
}

func (c *contents) read(key, value []byte) (err error) {
	number := func(at int) trackway.Customer { return trackway.Customer(binary.BigEndian.Uint64(key[at:])) }
	switch key[0] {
	case 'a':
		if len(key) != 17 || len(value) != 0 {
			return format.ErrCorrupt
		}
		c.kept[[2]trackway.Customer{number(1), number(9)}] = true
	case 'c':
		c.projectOf[number(5)] = binary.BigEndian.Uint32(key[1:])
		c.holders[number(5)], err = format.DecodeHolder(number(5), value)
	case 'd':
		c.changes[uint64(number(1))], err = recent.Decode(uint64(number(1)), value)
	case 'v':
		c.latest[string(key)], err = recent.DecodeLatest(value)
	case 'f':
		if len(value) != 0 {
			return format.ErrCorrupt
		}
	case 'i':
		c.ids[string(key)] = trackway.Customer(binary.BigEndian.Uint64(value))
	case 'o':
		if len(key) != 17 && len(key) != 25 || len(key) == 17 && len(value) != 8 {
			return format.ErrCorrupt
		}
	case 'l':
		seq := uint64(number(1))
		c.events[seq], err = format.DecodeEvent(seq, value)
	case 'm':
		switch {
		case string(key) == "mformat":
			c.format = string(value)
		case string(key) == "mhashkey":
			if len(value) != siphash.KeyBytes {
				return format.ErrCorrupt
			}
			c.key = timeline.NewKey([siphash.KeyBytes]byte(value))
		case bytes.HasPrefix(key, []byte(format.PrefixIdentifier)), bytes.HasPrefix(key, []byte(format.PrefixCursor)):
		case bytes.HasPrefix(key, []byte(format.PrefixNote)), string(key) == format.KeyTurn:
		case string(key) == format.KeyApplied, string(key) == format.KeyErasures:
		case bytes.Equal(key, []byte(format.KeyNextSeq)):
			c.nextSeq = binary.BigEndian.Uint64(value)
		default:
			c.projects[string(key[len("mproject/"):])] = binary.BigEndian.Uint32(value)
		}
	case 'n':
		switch {
		case bytes.Equal(key, []byte(format.KeyCounted)):
			c.counted = binary.BigEndian.Uint64(value)
		case bytes.HasPrefix(key, []byte(format.PrefixErasure)):
			_, err = erased.Decode(value)
		case bytes.Equal(key, []byte(format.KeyStore)):
		default:
			return format.ErrCorrupt
		}
	case 'p':
		c.props[number(1)]++
		_, _, err = format.SplitDated(value)
	case 'r':
		seq, n := binary.Uvarint(value)
		if len(key) != 1+4+32 || n != len(value) {
			return format.ErrCorrupt
		}
		c.repeats[string(key)] = seq
	case 's':
		if len(key) != 14 {
			return format.ErrCorrupt
		}
		c.counts[string(key)] = string(value)
	case 't':
		seq, n := binary.Uvarint(value)
		if len(key) != 25 || n != len(value) && string(value[n:]) != "\x01" {
			return format.ErrCorrupt
		}
		c.timeline[seq] = append(c.timeline[seq], timelineEntry{number(1), trackway.Micros(number(9)), uint64(number(17))})
	case 'u':
		u, err := totals.Decode(value)
		c.usage = c.usage.Plus(u)
		return err
	case 'y':
		project := binary.BigEndian.Uint32(key[1:])
		if c.types[project] == nil {
			c.types[project] = make(map[string]uint32)
		}
		c.types[project][string(key[5:])] = binary.BigEndian.Uint32(value)
	default:
		if key[0] >= format.ScratchKeys { // of an interrupted clean-up
			return nil
		}
		return fmt.Errorf("there is no table %q", key[0])
	}
	return err
}

// mustBeConsistent fails the test if the tables of a store contradict each
// other or the cache.
func mustBeConsistent(tb interface {
	Helper()
	Fatal(args ...any)
}, s *Store,
) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := readAll(s.db)
	if err != nil {
		tb.Fatal(err)
	}
	for _, broken := range []string{c.checkLog(s), c.checkChanges(), c.checkIDs(), c.checkCustomers(s), c.checkMerges(s), c.checkUsage(), c.checkCounts(s), c.checkCache(s)} {
		if broken != "" {
			tb.Fatal(broken)
		}
	}
}

// checkLog: each event has exactly one entry, on a timeline of its customer.
func (c *contents) checkLog(s *Store) string {
	for seq, entries := range c.timeline {
		if e, ok := c.events[seq]; !ok || len(entries) != 1 {
			return fmt.Sprintf("the timeline leads to event %d (stored: %v) from %v", seq, ok, entries)
		} else if t := entries[0]; !c.onTimeline(&e, t.customer) || t.at != e.Time || !c.fits(t.tail, &e) {
			return fmt.Sprintf("entry %v of the timeline leads to %v", t, e)
		}
	}
	last := uint64(0)
	for seq, e := range c.events {
		last = max(last, seq)
		if len(c.timeline[seq]) == 0 {
			return fmt.Sprintf("event %d is on no timeline", seq)
		}
		if c.holders[e.Customer] == nil || c.projectOf[e.Customer] != e.Project {
			return fmt.Sprintf("event %v is of nobody in its project", e)
		}
	}
	for key, seq := range c.repeats {
		if e, ok := c.events[seq]; !ok || key != string(repeats.Key(&e)) {
			return fmt.Sprintf("the content %q leads to event %d (stored: %v), which is %v", key, seq, ok, e)
		}
	}
	for number := range c.changes {
		last = max(last, number)
	}
	if want := max(last+1, c.nextSeq); s.nextSeq != want {
		return fmt.Sprintf("the next sequence number is %d, want %d", s.nextSeq, want)
	}
	return ""
}

// checkChanges: each customer has one change, which is known as its latest. The
// change of each project that reports expired events counts all of them.
func (c *contents) checkChanges() string {
	about := make(map[trackway.Customer]int)
	var expired uint64
	for number, one := range c.changes {
		latest := c.latest[string(format.Key(nil).Latest(one.Project, one.Customer))]
		latest.Project, latest.Customer = one.Project, one.Customer
		if _, isEvent := c.events[number]; isEvent || latest != one {
			return fmt.Sprintf("change %d is %+v, the latest is %+v, it is an event: %v", number, one, latest, isEvent)
		}
		about[one.Customer]++
		expired += one.Expired.Events
	}
	if len(c.latest) != len(c.changes) {
		return fmt.Sprintf("%d changes are the latest, and there are %d", len(c.latest), len(c.changes))
	}
	for customer := range c.holders {
		if about[customer] != 1 {
			return fmt.Sprintf("%d changes are about customer %d", about[customer], customer)
		}
	}
	if n := len(c.changes) - about[0]; n != len(c.holders) || expired != c.usage.Expired {
		return fmt.Sprintf("%d changes are about %d customers, and %d events are expired of %d", n, len(c.holders), expired, c.usage.Expired)
	}
	return ""
}

// fits reports whether the timeline key of e may end with tail.
func (c *contents) fits(tail uint64, e *trackway.Event) bool {
	return tail == e.Seq || tail == c.key.Hash(e.Type, e.Properties)
}

// checkIDs: each identifier leads to the one customer that lists it.
func (c *contents) checkIDs() string {
	want := make(map[string]trackway.Customer)
	for customer, h := range c.holders {
		for _, id := range h.IDs {
			key := string(format.AppendIDKey(nil, c.projectOf[customer], id.Identifier))
			if other := want[key]; other != 0 {
				return fmt.Sprintf("%v is listed by %d and by %d", id, other, customer)
			}
			want[key] = customer
		}
	}
	if diff := cmp.Diff(want, c.ids); diff != "" {
		return "the index of identifiers is not what customers list (-want): " + diff
	}
	return ""
}

func (c *contents) checkCustomers(s *Store) string {
	for n := range len(c.holders) {
		customer := trackway.Customer(n + 1)
		h := c.holders[customer]
		switch {
		case h == nil:
			return fmt.Sprintf("customer %d of %d is missing", customer, len(c.holders))
		case h.Properties != c.props[customer]:
			return fmt.Sprintf("customer %d counts %d properties and has %d", customer, h.Properties, c.props[customer])
		case h.MergedInto != 0 && len(h.IDs)+h.Properties > 0:
			return fmt.Sprintf("customer %d was absorbed and has %v", customer, h)
		}
	}
	for customer := range c.props {
		if c.holders[customer] == nil {
			return fmt.Sprintf("customer %d has properties and no record", customer)
		}
	}
	if want := trackway.Customer(len(c.holders)) + 1; s.nextCustomer != want {
		return fmt.Sprintf("the next customer is %d, want %d", s.nextCustomer, want)
	}
	return ""
}

// survivor returns the customer that n is part of now.
func (c *contents) survivor(n trackway.Customer) trackway.Customer {
	for c.holders[n] != nil && c.holders[n].MergedInto != 0 {
		n = c.holders[n].MergedInto
	}
	return n
}

// onTimeline reports whether readers find the event on owner's timeline.
// Readers look at the timeline of the event's present customer, and at absorbed
// timelines that stayed in place.
func (c *contents) onTimeline(e *trackway.Event, owner trackway.Customer) bool {
	now := c.survivor(e.Customer)
	return owner == now || c.kept[[2]trackway.Customer{now, owner}]
}

// checkMerges checks that there is a merge event for each absorbed customer,
// and that only timelines which may stay in place did so.
func (c *contents) checkMerges(s *Store) string {
	count := make(map[trackway.Customer]int)
	for pair := range c.kept {
		count[pair[0]]++
		if h := c.holders[pair[1]]; h == nil || h.MergedInto == 0 || c.survivor(pair[1]) != pair[0] {
			return fmt.Sprintf("%d keeps the timeline of %d, which is %v", pair[0], pair[1], h)
		}
	}
	for customer, h := range c.holders {
		if h.Absorbed != count[customer] {
			return fmt.Sprintf("customer %d counts %d timelines and keeps %d", customer, h.Absorbed, count[customer])
		}
		if h.Absorbed > max(s.mostKept, maxKept) {
			return fmt.Sprintf("customer %d keeps %d timelines", customer, h.Absorbed)
		}
		if h.MergedInto >= customer {
			return fmt.Sprintf("customer %d was merged into the younger %d", customer, h.MergedInto)
		}
	}
	return ""
}

// checkUsage: every event that was counted as stored was stored, except merges.
func (c *contents) checkUsage() string {
	var absorbed uint64
	for _, h := range c.holders {
		if h.MergedInto != 0 {
			absorbed++
		}
	}
	if u := c.usage; u.Events() != uint64(len(c.events)) {
		return fmt.Sprintf("%+v are counted, the log holds %d events", u, len(c.events))
	}
	if u := c.usage; u.Created != uint64(len(c.holders)) || u.Absorbed != absorbed {
		return fmt.Sprintf("%d customers are counted, %d of them absorbed; stored are %d and %d", u.Created, u.Absorbed, len(c.holders), absorbed)
	}
	return ""
}

type counted struct {
	project uint32
	by      query.By
	typ     string
	hour    query.Hour
}

func plusOne(n query.Count, seq uint64) query.Count {
	if n.Events == 0 {
		return query.Count{Events: 1, First: seq, Last: seq}
	}
	return query.Count{Events: n.Events + 1, First: min(n.First, seq), Last: max(n.Last, seq)}
}

// checkCounts: the written and the unwritten counts together equal those of the
// log, by type and hour.
func (c *contents) checkCounts(s *Store) string {
	got, want := make(map[counted]query.Count), make(map[counted]query.Count)
	for seq, e := range c.events {
		typ := e.Type
		if !s.counts.ByName(e.Project, typ) {
			typ = ""
		}
		for _, k := range []counted{
			{e.Project, query.ByTime, typ, query.HourOf(e.Time)}, {e.Project, query.ByReceived, typ, query.HourOf(e.Received)},
		} {
			want[k] = plusOne(want[k], seq)
		}
	}
	for project := range uint32(10) {
		for _, by := range []query.By{query.ByTime, query.ByReceived} {
			err := s.counts.Read(project, query.CountRange{By: by}, func(n query.Count) bool {
				got[counted{project, by, n.Type, n.Hour}] = query.Count{Events: n.Events, First: n.First, Last: n.Last}
				return true
			})
			if err != nil {
				return err.Error()
			}
		}
	}
	for k, n := range want {
		if g := got[k]; g.Events < n.Events || g.First > n.First || g.Last < n.Last {
			return fmt.Sprintf("counted are %v, the log holds %v", got, want)
		}
	}
	if c.usage.Expired == 0 && !maps.Equal(got, want) { // expired events stay counted
		return fmt.Sprintf("counted are %v, the log holds %v", got, want)
	}
	return ""
}

// checkCache: the cache agrees with the tables.
func (c *contents) checkCache(s *Store) (broken string) {
	known := 0
	for key, customer := range c.ids {
		if s.used.Misses([]byte(key)) {
			return fmt.Sprintf("the store has %q, which is taken for unused", key)
		}
		got, plain, ok := s.cache.Customer([]byte(key))
		if !ok {
			continue
		}
		known++
		if got != customer || plain && !c.isPlain(key, customer) {
			return fmt.Sprintf("the cache has %q lead to %d (plain: %v), the store to %d", key, got, plain, customer)
		}
	}
	if n := s.cache.IDs(); n != known {
		return fmt.Sprintf("the cache has %d identifiers, %d of which the store has", n, known)
	}
	s.cache.Each(func(h *identity.Holder) {
		stored := c.holders[h.Customer]
		if stored == nil || !slices.Equal(h.IDs, stored.IDs) || h.Properties != stored.Properties ||
			h.Absorbed != stored.Absorbed || h.MergedInto != stored.MergedInto || h.Created != stored.Created {
			broken = fmt.Sprintf("the cache has customer %d be %v, the store %v", h.Customer, h, stored)
		}
	})
	for _, entries := range c.timeline {
		for _, e := range entries {
			now := c.survivor(e.customer)
			if e.tail&format.HashTail != 0 && s.cache.Misses(now, e.at, e.tail) {
				return fmt.Sprintf("the cache takes entry %v of customer %d for new", e, now)
			}
		}
	}
	return broken
}

// isPlain reports whether using an identifier of a customer changes nothing:
// see [cache.Cache.Customer].
func (c *contents) isPlain(key string, customer trackway.Customer) bool {
	h, name := c.holders[customer], ""
	for _, id := range h.IDs {
		if key == string(format.AppendIDKey(nil, c.projectOf[customer], id.Identifier)) {
			return h.Absorbed == 0 && (id.Hard || id.Name != name)
		}
		if !id.Hard {
			name = id.Name
		}
	}
	return false
}

// identifierOf returns an identifier; registered and email are hard.
func identifierOf(name, value string) trackway.Identifier {
	return trackway.Identifier{Name: name, Value: value, Hard: name == "registered" || name == "email"}
}

// event returns a command that adds an event at a time that its sender chose.
func event(typ string, at trackway.Micros, properties map[string]string, ids ...trackway.Identifier) trackway.Command {
	return trackway.Command{
		Kind: trackway.AddEvent, Project: demo, IDs: ids, Anonymous: len(ids) == 0, Type: typ,
		Time: at, TimeGiven: true, Received: at, Properties: propertiesOf(properties),
	}
}

func update(at trackway.Micros, properties map[string]string, ids ...trackway.Identifier) trackway.Command {
	return trackway.Command{
		Kind: trackway.UpdateCustomer, Project: demo, IDs: ids, Anonymous: len(ids) == 0,
		Time: at, TimeGiven: true, Received: at, Properties: propertiesOf(properties),
	}
}

// receivedAt sets when a command was received, which may be after its time. A
// property whose time is after the receipt is attributed to a wrong clock.
func receivedAt(at trackway.Micros, c trackway.Command) trackway.Command {
	c.Received = at
	return c
}

func propertiesOf(m map[string]string) []trackway.Property {
	properties := make([]trackway.Property, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		properties = append(properties, trackway.Property{Name: name, Value: []byte(m[name])})
	}
	return properties
}

func mustRegister(tb testing.TB, s *Store, token string) uint32 {
	tb.Helper()
	p := []trackway.Project{{Token: token}}
	if err := s.Register(p); err != nil {
		tb.Fatal(err)
	}
	return p[0].Number
}

// mustKey gives a store that has no events a key that is always the same.
func mustKey(tb testing.TB, s *Store) {
	tb.Helper()
	if err := s.log.Append(&entry.HashKey{Key: [siphash.KeyBytes]byte([]byte("0123456789abcdef"))}); err != nil || !s.Keyed() {
		tb.Fatal(err, s.Keyed())
	}
}

func mustApply(tb testing.TB, s *Store, cmds ...trackway.Command) []trackway.Result {
	tb.Helper()
	results := make([]trackway.Result, len(cmds))
	if err := s.Apply(cmds, results); err != nil {
		tb.Fatal(err)
	}
	return results
}
