package store

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/scale"
	"trackway/internal/siphash"
	"trackway/internal/store/cache"
	"trackway/internal/store/format"
)

const (
	crashWriters = 4
	maxRound     = 60 // acknowledged requests from one power cut to the next
)

// TestCrash: after a power cut, everything acknowledged is there once, and the
// store's indexes are intact. Everything else can be sent again and is then
// there once.
//
// Writers work in parallel. At some moment the power is cut: each unsynced
// block of a file and each unsynced entry of a directory survives with a given
// probability. The store is opened on what is left, and the test goes on from
// there, so that a store that was cut many times is as good as a new one.
func TestCrash(t *testing.T) {
	t.Parallel()
	cuts := scale.Of(50, 6)
	for _, percent := range []int{0, 25, 50, 75, 100} {
		t.Run(fmt.Sprintf("keep %d%%", percent), func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			lost, err := cutPower(seed, cuts, percent, func(*Store) {})
			if lost != "" || err != nil {
				t.Errorf("seed %d: %s %v", seed, lost, err)
			}
			t.Logf("seed %d: %d power cuts", seed, cuts)
		})
	}
}

// TestCrashWithoutBarrier shows that TestCrash can fail: without the barrier,
// acknowledged requests are lost.
func TestCrashWithoutBarrier(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	lost, err := cutPower(seed, 20, 0, func(s *Store) { s.sync = func() error { return nil } })
	if lost == "" || err != nil {
		t.Errorf("seed %d: 20 power cuts on a store that does not sync, and no loss was noticed (%v)", seed, err)
	}
}

// cutPower writes and cuts the power repeatedly. It returns what was lost, if
// anything.
func cutPower(seed uint64, cuts, percent int, prepare func(*Store)) (lost string, err error) {
	random := rand.New(rand.NewPCG(seed, 0))
	fs := vfs.NewCrashableMem()
	var l crashLoad
	for cut := range cuts {
		s, err := Open("data", Options{FS: fs, Cache: 1 << 20, Fatal: func(err error) { panic(err) }})
		if err != nil {
			return "", fmt.Errorf("open after cut %d: %w", cut, err)
		}
		s.cache = cache.New(smallCache)
		// Sometimes every change is written at once, sometimes none.
		s.counts.Most = random.IntN(200)
		s.mostMoved, s.mostKept = 1+random.IntN(3), 1+random.IntN(3)
		prepare(s)
		if seed%2 == 0 { // it counts if no event has survived
			if err := s.log.Append(&entry.HashKey{Key: [siphash.KeyBytes]byte{byte(cut)}}); err != nil {
				return "", err
			}
		}
		if lost := l.check(s); lost != "" {
			return fmt.Sprintf("after cut %d: %s", cut, lost), s.Close()
		}
		if err := l.sendAgain(s); err != nil {
			return "", err
		}
		next := l.round(s, random.Uint64(), len(l.acked)+1+random.IntN(maxRound), func() *vfs.MemFS {
			return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: random})
		})
		if err := s.Close(); err != nil {
			return "", err
		}
		fs = next
	}
	return "", nil
}

// crashLoad tracks what was sent over all rounds.
type crashLoad struct {
	mu      sync.Mutex
	sent    int             // requests; each has the next number
	unknown map[int]request // sent and not acknowledged, or after the cut
	acked   []request
	more    *sync.Cond // signals another acknowledged request
	cut     bool
}

// request is one request of a writer. Its number names everything in it.
type request struct {
	n      int
	writer int
	kind   requestKind
}

type requestKind int

const (
	sendEvents requestKind = iota // three events in a batch, of customers that all writers share
	sendEvent                     // one event, sometimes a large one
	sendUpdate                    // sets the property "last" of the writer's customer to n
	// An anonymous visit of two events and then, in the same batch, a name for
	// the visitor.
	sendMerge
	sendErase // a visit with an address, which is erased
	requestKinds
)

func (r request) eventType(i int) string { return fmt.Sprintf("e%d.%d", r.n, i) }

func (r request) at() trackway.Micros { return trackway.Micros(1000 + r.n) }

// named returns a customer of the writer, for twenty merges: it holds 64
// cookies.
func (r request) named() trackway.Identifier {
	return identifierOf("registered", fmt.Sprintf("named%d-%d", r.writer, r.n/(20*crashWriters)))
}

func (r request) writers() trackway.Identifier {
	return identifierOf("registered", "writer"+strconv.Itoa(r.writer))
}

func (r request) visitor() trackway.Identifier {
	return identifierOf("cookie", "visitor"+strconv.Itoa(r.n))
}

// commands returns the same commands each time.
func (r request) commands() []trackway.Command {
	random := rand.New(rand.NewPCG(uint64(r.n), 1))
	// There are four groups of identifiers, each of which ends up with one
	// customer. No customer ever takes one from another, after which an event
	// that is sent again would be about somebody else.
	group := strconv.Itoa(random.IntN(4))
	shared := func() trackway.Identifier { return identifierOf("cookie", group+"-"+strconv.Itoa(random.IntN(20))) }
	switch r.kind {
	case sendEvents:
		return []trackway.Command{
			event(r.eventType(0), r.at(), nil, shared()),
			event(r.eventType(1), r.at(), nil, identifierOf("registered", group), shared()),
			event(r.eventType(2), r.at(), nil, shared(), shared()),
		}
	case sendEvent:
		text := strings.Repeat("x", random.IntN(40)*random.IntN(1000))
		return []trackway.Command{event(r.eventType(0), r.at(), map[string]string{"text": `"` + text + `"`}, shared())}
	case sendUpdate:
		return []trackway.Command{update(r.at(), map[string]string{"last": strconv.Itoa(r.n)}, r.writers())}
	case sendMerge:
		return []trackway.Command{
			event(r.eventType(0), r.at(), nil, r.visitor()),
			event(r.eventType(1), r.at(), nil, r.visitor()),
			update(r.at(), map[string]string{"last": strconv.Itoa(r.n)}, r.named(), r.visitor()),
		}
	default:
		return []trackway.Command{event(r.eventType(0), r.at(), map[string]string{"email": `"x@example.com"`}, r.visitor())}
	}
}

func (r request) send(s *Store) error {
	cmds := r.commands()
	results := make([]trackway.Result, len(cmds))
	if err := s.Apply(cmds, results); err != nil {
		return err
	}
	for i := range results {
		if results[i].Err != nil {
			return results[i].Err
		}
	}
	if r.kind == sendErase {
		_, err := s.Erase(demo, results[0].Customer, []string{"email"}, r.at())
		return err
	}
	return nil
}

// sendAgain sends again what was not acknowledged before the cut, except
// erasures: sending these again would create a new customer.
func (l *crashLoad) sendAgain(s *Store) error {
	for n, r := range l.unknown {
		if r.kind == sendErase {
			continue
		}
		if err := r.send(s); err != nil {
			return err
		}
		l.acked = append(l.acked, r)
		delete(l.unknown, n)
	}
	return nil
}

// round lets all writers send until the store has acknowledged a number of
// requests, and cuts the power while they continue. Requests acknowledged after
// the cut count as unacknowledged.
func (l *crashLoad) round(s *Store, seed uint64, until int, cut func() *vfs.MemFS) *vfs.MemFS {
	l.more, l.cut = sync.NewCond(&l.mu), false
	if l.unknown == nil {
		l.unknown = make(map[int]request)
	}
	var writers sync.WaitGroup
	for w := range crashWriters {
		writers.Go(func() { l.write(s, w, rand.New(rand.NewPCG(seed, uint64(w)))) })
	}
	l.mu.Lock()
	for len(l.acked) < until {
		l.more.Wait()
	}
	// From here on nothing counts as acknowledged; the writers still run when
	// the power goes.
	l.cut = true
	l.mu.Unlock()
	after := cut()
	writers.Wait()
	return after
}

func (l *crashLoad) write(s *Store, w int, random *rand.Rand) {
	for {
		l.mu.Lock()
		if l.cut {
			l.mu.Unlock()
			return
		}
		l.sent++
		r := request{n: l.sent, writer: w, kind: requestKind(random.IntN(int(requestKinds)))}
		l.unknown[r.n] = r
		l.mu.Unlock()
		if err := r.send(s); err != nil {
			panic(err)
		}
		l.mu.Lock()
		if !l.cut {
			delete(l.unknown, r.n)
			l.acked = append(l.acked, r)
			l.more.Signal()
		}
		l.mu.Unlock()
	}
}

// check reports what is missing from the store, duplicated or inconsistent.
func (l *crashLoad) check(s *Store) (lost string) {
	defer func() {
		if p := recover(); p != nil {
			lost = fmt.Sprint(p)
		}
	}()
	mustBeConsistent(panicker{}, s)
	c, err := readAll(s.db)
	if err != nil {
		return err.Error()
	}
	events := make(map[string]trackway.Event)
	for _, e := range c.events {
		if other, ok := events[e.Type]; ok && e.Type != trackway.MergeType {
			return fmt.Sprintf("%v and %v are the same event", e, other)
		}
		events[e.Type] = e
	}
	for _, r := range l.acked {
		if lost := r.lost(c, events, s.db); lost != "" {
			return fmt.Sprintf("request %+v: %s", r, lost)
		}
	}
	return ""
}

// panicker lets mustBeConsistent fail outside a test.
type panicker struct{}

func (panicker) Helper() {}

func (panicker) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// lost reports which part of an acknowledged request is not in the store.
func (r request) lost(c *contents, events map[string]trackway.Event, db *pebble.DB) string {
	for i, cmd := range r.commands() {
		if e, ok := events[r.eventType(i)]; cmd.Kind == trackway.AddEvent && !ok {
			return "its event " + r.eventType(i) + " is missing"
		} else if strings.Contains(string(e.Properties), "email") {
			return "its event was erased and is there"
		}
	}
	leadsTo := func(id trackway.Identifier) trackway.Customer {
		return c.ids[string(format.AppendIDKey(nil, demo, id))]
	}
	switch r.kind {
	case sendUpdate:
		return r.lostUpdate(leadsTo(r.writers()), db)
	case sendMerge:
		survivor := leadsTo(r.named())
		if survivor == 0 || leadsTo(r.visitor()) != survivor {
			return fmt.Sprintf("%v leads to %d and %v to %d", r.visitor(), leadsTo(r.visitor()), r.named(), survivor)
		}
		if at := c.survivor(events[r.eventType(0)].Customer); at != survivor {
			return fmt.Sprintf("its event is with customer %d, not with %d", at, survivor)
		}
		return r.lostUpdate(survivor, db)
	case sendErase:
		if who := leadsTo(r.visitor()); who != 0 {
			return fmt.Sprintf("%v was erased and leads to %d", r.visitor(), who)
		}
	}
	return ""
}

// lostUpdate: later updates may have followed, but no earlier value may have
// come back.
func (r request) lostUpdate(c trackway.Customer, db *pebble.DB) string {
	value, closer, err := db.Get(format.AppendPropKey(nil, c, "last"))
	if err != nil {
		return fmt.Sprintf("property of customer %d: %v", c, err)
	}
	defer func() { _ = closer.Close() }()
	at, last, _ := format.SplitDated(value)
	if n, _ := strconv.Atoi(string(last)); n < r.n || at < r.at() {
		return fmt.Sprintf("the property of customer %d is %s since %d", c, last, at)
	}
	return ""
}
