package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/entry"
	"trackway/internal/log/local"
	"trackway/internal/query"
	"trackway/internal/scale"
	"trackway/internal/store/cache"
	"trackway/internal/store/digest"
	"trackway/internal/store/format"
)

// TestReplicas: the state is a function of the entries. Machines that apply the
// same decoded entries have the same keys and values in all tables except that
// of the node, and each entry has the same outcome. One replica is restarted at
// random moments, sometimes by a power cut that loses what was not synced, and
// continues after its last applied entry. With another replica, much that is
// not an entry happens in between: reads, clean-ups, saved counts, emptied
// caches.
func TestReplicas(t *testing.T) {
	t.Parallel()
	kinds := make(map[entry.Kind]bool)
	for range scale.Of(12, 3) {
		seed := rand.Uint64()
		if different := replicate(t, seed, kinds, nil); different != "" {
			t.Errorf("seed %d: %s", seed, different)
		}
	}
	if len(kinds) != int(entry.KindHashKey) {
		t.Errorf("there were entries of kinds %v only", kinds)
	}
}

// TestReplicasNotice shows that TestReplicas notices a machine that decides by
// anything but the entry.
func TestReplicasNotice(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	clock := trackway.Micros(0)
	for name, mutant := range map[string]func(s *Store, e entry.Entry){
		"its clock": func(_ *Store, e entry.Entry) {
			if c, ok := e.(*entry.Commands); ok {
				clock++
				c.Requests[0].Commands[0].Received = clock
			}
		},
		"the order of a map": func(_ *Store, e entry.Entry) {
			if c, ok := e.(*entry.Commands); ok {
				random.Shuffle(len(c.Requests), func(i, j int) { c.Requests[i], c.Requests[j] = c.Requests[j], c.Requests[i] })
			}
		},
		"its configuration": func(_ *Store, e entry.Entry) {
			switch e := e.(type) {
			case *entry.Rewrite:
				e.Personal = []string{"a"}
			case *entry.Erase:
				e.Personal = []string{"a"}
			}
		},
		"a secret of its own": func(_ *Store, e entry.Entry) {
			if k, ok := e.(*entry.HashKey); ok {
				k.Key[0]++
			}
		},
		"how much it moves at once": func(s *Store, _ entry.Entry) { s.mostMoved = 100 },
	} {
		noticed := false
		for seed := uint64(0); seed < 20 && !noticed; seed++ {
			noticed = replicate(t, seed, make(map[entry.Kind]bool), mutant) != ""
		}
		if !noticed {
			t.Errorf("a machine that goes by %s was not noticed", name)
		}
	}
}

// replica is a machine that applies the entries of another one.
type replica struct {
	*Store

	fs      *vfs.MemFS
	mutant  func(*Store, entry.Entry)
	between func(*replica) error // happens between two entries
	digests []digest.Digest
}

// openReplica opens a store with small bounds and caches.
func openReplica(fs vfs.FS) (*Store, error) {
	s, err := Open("data", Options{FS: fs, Cache: 1 << 20, Fatal: func(err error) { panic(err) }})
	if err != nil {
		return nil, err
	}
	s.cache = cache.New(smallCache)
	s.counts.Most = 4 * smallCache
	s.mostMoved, s.mostKept = fewMoved, fewKept
	s.Part = smallPart
	return s, nil
}

// apply applies all entries after the last applied one.
func (r *replica) apply(entries [][]byte, outcomes []string) error {
	for int(r.Applied()) < len(entries) {
		index := r.Applied() + 1
		e, err := entry.Decode(entries[index-1])
		if err != nil {
			return err
		}
		if r.mutant != nil {
			r.mutant(r.Store, inner(e))
		}
		if err := r.machine.Apply(index, e); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		if _, ok := inner(e).(*entry.Digest); ok {
			r.digests = append(r.digests, awaitDigest(&r.Store.machine))
		}
		if got := outcome(e); r.mutant == nil && got != outcomes[index-1] {
			return fmt.Errorf("entry %d became %s, want %s", index, got, outcomes[index-1])
		}
		if r.between != nil {
			if err := r.between(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// inner returns the entry that an entry stands for.
func inner(e entry.Entry) entry.Entry {
	if once, ok := e.(*entry.Once); ok {
		return once.Entry
	}
	return e
}

// recorded is a machine that keeps its encoded entries.
type recorded struct {
	*machine

	entries  [][]byte
	outcomes []string
	digests  []digest.Digest

	// makes some entries come as those of a shared log, and some of them again;
	// nil: all come as they are
	random  *rand.Rand
	counter uint64
}

func (r *recorded) Apply(index uint64, e entry.Entry) error {
	if r.random != nil && r.random.IntN(10) == 0 {
		if err := r.record(index, nextDigest(r.machine)); err != nil {
			return err
		}
		index++
	}
	if c, ok := e.(*entry.Commands); ok && r.random != nil {
		c.Carries = r.random.IntN(2) == 0
	}
	if r.random == nil || r.random.IntN(2) == 0 {
		return r.record(index, e)
	}
	if r.counter++; r.random.IntN(20) == 0 {
		r.counter += r.random.Uint64N(2 * entry.Kept)
	}
	once := &entry.Once{Origin: [16]byte{byte(r.random.IntN(2))}, Counter: r.counter, Entry: e}
	if err := r.record(index, once); err != nil {
		return err
	}
	for r.random.IntN(3) == 0 { // an old one comes again
		b := r.entries[r.random.IntN(len(r.entries))]
		if entry.Kind(b[1]) != entry.KindOnce {
			continue
		}
		again, err := entry.Decode(b)
		if err != nil {
			return err
		}
		if err := r.record(r.Applied()+1, again); err != nil {
			return err
		}
		if once, ok := again.(*entry.Once); !ok || !once.Again && !once.Late {
			return fmt.Errorf("entry %d took effect again", r.Applied())
		}
	}
	return nil
}

func (r *recorded) record(index uint64, e entry.Entry) error {
	b := entry.Append(nil, e)
	err := r.machine.Apply(index, e)
	if err == nil {
		r.entries, r.outcomes = append(r.entries, b), append(r.outcomes, outcome(e))
		if _, ok := inner(e).(*entry.Digest); ok {
			r.digests = append(r.digests, awaitDigest(r.machine))
		}
	}
	return err
}

// outcome describes the result of an entry.
func outcome(e entry.Entry) string {
	if once, ok := e.(*entry.Once); ok {
		return fmt.Sprint(once.Again, " ", once.Late, " ", outcome(once.Entry))
	}
	c, ok := e.(*entry.Commands)
	if !ok {
		return fmt.Sprintf("%+v", e)
	}
	var b strings.Builder
	for _, r := range c.Requests {
		crowded := entry.Crowded{}
		if r.Crowded != nil {
			crowded = *r.Crowded
		}
		fmt.Fprintf(&b, "%d done, %v", r.Done, crowded)
		for _, one := range r.Results[:r.Done] {
			refused := one.Err
			one.Err = nil
			fmt.Fprintf(&b, ", %+v %v", one, refused)
		}
		b.WriteString("; ")
	}
	return b.String()
}

// replicate runs random operations on a store, lets three replicas apply its
// entries, and describes any difference. It records the kinds of the entries.
func replicate(
	t *testing.T, seed uint64, kinds map[entry.Kind]bool, mutant func(*Store, entry.Entry),
) (different string) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	primary, err := openReplica(vfs.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	log := &recorded{machine: &primary.machine, random: random}
	primary.log = local.Open(log)
	replicas := map[string]*replica{
		"plain":     {mutant: mutant},
		"restarted": {between: func(r *replica) error { return r.restart(random) }},
		"busy":      {between: func(r *replica) error { return r.disturb(t, random) }},
	}
	for _, r := range replicas {
		r.fs = vfs.NewCrashableMem()
		if r.Store, err = openReplica(r.fs); err != nil {
			t.Fatal(err)
		}
	}
	if err := primary.Register([]trackway.Project{{Token: "0", Hard: []string{"registered", "email"}, Soft: []string{"cookie"}}, {Token: "1"}, {Token: "2"}}); err != nil {
		t.Fatal(err)
	}
	for now := trackway.Micros(1); now < 80; now++ {
		if err := alter(t, primary, random, now); err != nil {
			t.Fatal(err)
		}
	}
	for after := new(entry.Digest); ; after = nextDigest(log.machine) { // a whole round
		if err := log.record(primary.Applied()+1, after); err != nil {
			t.Fatal(err)
		}
		if len(awaitDigest(log.machine).Next) == 0 {
			break
		}
	}
	for _, b := range log.entries {
		e, err := entry.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		kinds[e.Kind()], kinds[inner(e).Kind()] = true, true
	}
	for name, r := range replicas {
		var diff string
		if err := r.apply(log.entries, log.outcomes); err != nil {
			diff = err.Error()
		} else {
			diff = difference(state(t, primary), state(t, r.Store))
		}
		other, effects, contents := differentDigest(log.digests, r.digests)
		switch {
		case mutant == nil && other != "":
			diff = other
		case mutant == nil && (effects == 0 || contents == 0):
			t.Errorf("the %s one: %d effects and %d contents were compared", name, effects, contents)
		case diff != "" && other == "" && r.Applied() == primary.Applied():
			t.Errorf("the digests of the %s one do not show that %s", name, diff)
		}
		if diff != "" && different == "" {
			different = fmt.Sprintf("the %s one, after %d entries: %s", name, len(log.entries), diff)
		}
		if mutant == nil {
			mustBeConsistent(t, r.Store)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := primary.Close(); err != nil {
		t.Fatal(err)
	}
	return different
}

// state returns everything in which machines have to agree.
func state(t *testing.T, s *Store) map[string]string {
	t.Helper()
	if err := s.counts.Save(); err != nil {
		t.Fatal(err)
	}
	all := dump(t, s)
	for key := range all {
		if key[0] == format.TableNode || key[0] >= format.ScratchKeys {
			delete(all, key)
		}
	}
	return all
}

func difference(want, got map[string]string) string {
	for key, value := range want {
		if got[key] != value {
			return fmt.Sprintf("%q is %q, want %q", key, got[key], value)
		}
	}
	for key, value := range got {
		if _, ok := want[key]; !ok {
			return fmt.Sprintf("%q is %q, and should not be there", key, value)
		}
	}
	return ""
}

// alter applies a random operation to a store.
func alter(t *testing.T, s *Store, random *rand.Rand, now trackway.Micros) error {
	t.Helper()
	switch random.IntN(12) {
	case 0:
		return s.Register([]trackway.Project{
			{Token: strconv.Itoa(random.IntN(4)), Hard: []string{"registered", "email"}, Soft: []string{"cookie"}},
			{Token: strconv.Itoa(random.IntN(4))},
		})
	case 1:
		return s.Refused(demo, now, 1+random.IntN(3))
	case 2, 3:
		if s.nextCustomer > 1 {
			c := trackway.Customer(1 + random.Uint64N(uint64(s.nextCustomer)-1))
			for p := range uint32(2) {
				if _, err := s.Erase(1+p, c, machinePersonal, now); err != nil && !errors.Is(err, pebble.ErrNotFound) {
					return err
				}
			}
			return nil
		}
	case 4:
		_, err := s.Expire(t.Context(), 1, s.nextSeq, func(_ uint32, typ string) trackway.Micros {
			if typ == "e" {
				return now / 2
			}
			return query.Forever
		})
		return err
	case 5:
		_, err := s.CleanUp(t.Context(), func() trackway.Micros { return now })
		return err
	case 6:
		switch random.IntN(4) {
		case 0:
			return s.Assign(&entry.Assign{Tokens: []string{strconv.Itoa(random.IntN(3))}, Wanted: []uint32{random.Uint32N(3)}})
		case 1:
			return s.log.Append(&entry.Notes{Turn: uint64(random.IntN(4)), Notes: []trackway.Property{{Name: "n", Value: make([]byte, random.IntN(3))}}})
		case 2:
			return s.log.Append(&entry.HashKey{Key: [16]byte{byte(random.IntN(2))}})
		}
		return s.log.Append(&entry.Cursor{Name: strconv.Itoa(random.IntN(2)), Number: []uint64{s.nextSeq, change.NoCursor}[random.IntN(2)]})
	case 7:
		return s.crowd(now)
	default:
		return s.group(random, now)
	}
	return nil
}

// TestReplicasOfBusyStore makes the same promise for the entries of a store
// with many concurrent users: what an erasure or retention has found may have
// changed when its entry is applied.
func TestReplicasOfBusyStore(t *testing.T) {
	t.Parallel()
	primary, err := openReplica(vfs.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	log := &recorded{machine: &primary.machine}
	primary.log = local.Open(log)
	seed := rand.Uint64()
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(w)))
			for now := trackway.Micros(1); now < 60; now++ {
				if err := primary.use(t, random, now, w); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}
		})
	}
	wg.Wait()
	r := replica{}
	if r.Store, err = openReplica(vfs.NewMem()); err != nil {
		t.Fatal(err)
	}
	if err := r.apply(log.entries, log.outcomes); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	if diff := difference(state(t, primary), state(t, r.Store)); diff != "" {
		t.Errorf("seed %d, after %d entries: %s", seed, len(log.entries), diff)
	}
	for _, s := range []*Store{primary, r.Store} {
		mustBeConsistent(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// use runs one of several users of a store: the first two erase and expire, the
// others send commands.
func (s *Store) use(t *testing.T, random *rand.Rand, now trackway.Micros, user int) error {
	t.Helper()
	s.mu.Lock()
	customers, end := uint64(s.nextCustomer-1), s.nextSeq
	s.mu.Unlock()
	switch {
	case user == 0 && customers > 0:
		c := trackway.Customer(1 + random.Uint64N(customers))
		if _, err := s.Erase(demo, c, machinePersonal, now); err != nil && !errors.Is(err, pebble.ErrNotFound) {
			return err
		}
		_, err := s.CleanUp(t.Context(), func() trackway.Micros { return now })
		return err
	case user == 1:
		_, err := s.Expire(t.Context(), 1, end, func(_ uint32, typ string) trackway.Micros {
			if typ == "e" {
				return query.Never
			}
			return query.Forever
		})
		return err
	case user == 2 && now%8 == 0:
		return s.crowd(now)
	}
	return s.group(random, now)
}

// crowd merges visitors of a few events each into one customer, so that
// timelines stay and are settled.
func (s *Store) crowd(now trackway.Micros) error {
	var cmds []trackway.Command
	for v := range fewKept + 1 {
		visitor := identifierOf("cookie", fmt.Sprint(now, "-", v))
		for i := range fewMoved + 1 {
			e := event("f", trackway.Micros(i), nil, visitor)
			e.Received = now
			cmds = append(cmds, e)
		}
		cmds = append(cmds, update(now, nil, identifierOf("registered", "crowd"), visitor))
	}
	return s.Apply(cmds, make([]trackway.Result, len(cmds)))
}

// group applies commands of several requests in one group.
func (s *Store) group(random *rand.Rand, now trackway.Micros) error {
	var e entry.Commands
	for range 1 + random.IntN(3) {
		cmds := make([]trackway.Command, 1+random.IntN(5))
		for i := range cmds {
			cmds[i] = randomCommand(random, now)
		}
		e.Requests = append(e.Requests, entry.Request{Commands: cmds, Results: make([]trackway.Result, len(cmds))})
	}
	if err := s.log.Append(&e); err != nil {
		return err
	}
	for _, r := range e.Requests { // finish what was left undone of each
		if err := s.settle(r.Crowded); err != nil {
			return err
		}
		if err := s.Apply(r.Commands[r.Done:], r.Results[r.Done:]); err != nil {
			return err
		}
	}
	return nil
}

func randomCommand(random *rand.Rand, now trackway.Micros) trackway.Command {
	c := trackway.Command{
		Kind: trackway.Kind(random.IntN(8)), Project: demo + uint32(random.IntN(2)), Received: now + trackway.Micros(random.IntN(3)*86400e6), Time: now, TimeGiven: random.IntN(4) > 0,
	}
	if c.Kind == 0 {
		return trackway.Command{Project: demo, Received: now}
	}
	if c.Kind > trackway.AddEvent {
		c.Kind = trackway.AddEvent
	}
	for range random.IntN(5) {
		id := machineIDs[random.IntN(len(machineIDs))]
		same := func(known trackway.Identifier) bool { return uniqueHard(known) == uniqueHard(id) }
		if !slices.ContainsFunc(c.IDs, same) {
			c.IDs = append(c.IDs, id)
		}
	}
	c.Anonymous = len(c.IDs) == 0
	if c.TimeGiven {
		c.Time = trackway.Micros(random.Int64N(3)) * 3600e6
	}
	if c.Kind == trackway.AddEvent {
		c.Type = []string{"e", "f", "g", trackway.MergeType}[random.IntN(4)]
		if random.IntN(3) == 0 {
			c.Type = strconv.Itoa(random.IntN(40))
		}
	}
	values := make(map[string]string)
	for _, name := range []string{"", "a", "email", "absorbed_ids"} {
		if random.IntN(2) == 0 {
			values[name] = []string{"1", `{"cookie":["a"]}`}[random.IntN(2)]
		}
	}
	if c.Kind == trackway.AddEvent && random.IntN(4) == 0 {
		values[trackway.MessageID] = strconv.Itoa(random.IntN(3))
		c.TimeVaries, c.Claimed = true, trackway.Micros(random.Int64N(3))*3600e6
	}
	if c.Kind == trackway.UpdateCustomer && random.IntN(4) == 0 {
		c.Unheld = &machineIDs[random.IntN(len(machineIDs))]
	}
	c.Properties = propertiesOf(values)
	return c
}

// restart closes and opens the replica, or cuts its power.
func (r *replica) restart(random *rand.Rand) error {
	if random.IntN(15) > 0 {
		return nil
	}
	after := r.fs
	if random.IntN(2) == 0 {
		after = r.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})
	}
	err := r.Close()
	s, opened := openReplica(after)
	r.Store, r.fs = s, after
	return errors.Join(err, opened)
}

// disturb runs operations that change no state.
func (r *replica) disturb(t *testing.T, random *rand.Rand) error {
	t.Helper()
	switch random.IntN(10) {
	case 0:
		return r.counts.Save()
	case 1:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.cache.Empty()
		r.usage.Empty()
	case 2:
		return r.db.Flush()
	case 3:
		v := r.Snapshot()
		defer func() { _ = v.Close() }()
		return v.Profiles(demo, func(*trackway.Profile) bool { return true })
	case 4:
		return r.Sync()
	case 5:
		if random.IntN(4) == 0 {
			return r.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false)
		}
	}
	return nil
}
