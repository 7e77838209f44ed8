package raft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/store/digest"
)

// ErrDiffers says that the state of this server is not that of most others.
var ErrDiffers = errors.New("the data of this server differs from that of most servers of the cluster")

// pace is how often the leader orders a digest.
type pace struct {
	entries uint64        // after so many entries
	time    time.Duration // and after so long, to read what does not change
	least   time.Duration // never sooner: a digest takes processor time
}

var usualPace = pace{entries: 10_000, time: time.Minute, least: 10 * time.Second}

// compared is what comparisons of digests have found. It is safe for concurrent
// use.
type compared struct {
	mu        sync.Mutex
	wrong     map[string]uint64 // the members whose state differs from that of most, and in which digest
	undecided uint64            // the last digest in which members differ, and no state is that of most
	last      uint64            // the last digest that was compared with most members

	// Of the digests that this server has ordered or seen, for the leader. Only
	// look uses them.
	seen   uint64            // index of the last one
	at     time.Time         // when this server saw it
	starts map[string]uint64 // of the members, at that time
	busy   sync.Mutex        // held while one is being ordered
}

// differs returns in which digest the state of a member differs from that of
// most, or 0.
func (c *compared) differs(id string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wrong[id]
}

// Comparison is the result of the comparisons of states so far.
type Comparison struct {
	Last      uint64 // index of the last digest that was compared with most members
	Differing int    // members whose state differs from that of others
}

// Compared returns what this server knows.
func (l *Log) Compared() Comparison {
	l.compared.mu.Lock()
	defer l.compared.mu.Unlock()
	c := Comparison{Last: l.compared.last, Differing: len(l.compared.wrong)}
	if c.Differing == 0 && l.compared.undecided > 0 {
		c.Differing = 2 // at least
	}
	return c
}

// verdict is what the digests of members say.
type verdict struct {
	wrong     map[string]uint64 // the members that differ from most, and the first digest in which they do
	undecided uint64            // the last digest in which members differ, and no state is that of most; 0: none
	last      uint64            // the last digest that most members have equally
}

// part is a part of a digest.
type part struct {
	index   uint64
	content bool   // else: effects
	from    uint32 // where the content begins: other contents are not comparable
}

// partsOf returns what members have found, by the part of a digest and the
// member. It leaves out what they do not know.
func partsOf(of map[string][]digest.Digest) map[part]map[string]string {
	parts := make(map[part]map[string]string)
	note := func(p part, member, value string) {
		if parts[p] == nil {
			parts[p] = make(map[string]string)
		}
		parts[p][member] = value
	}
	for member, all := range of {
		for i := range all {
			d := &all[i]
			if d.Whole {
				note(part{index: d.Index}, member, strconv.FormatUint(uint64(d.Effects), 16))
			}
			switch d.Content {
			case "": // it does not know
			case digest.Damaged:
				note(part{d.Index, true, d.From}, member, member) // equals that of nobody
			default:
				note(part{d.Index, true, d.From}, member, d.Content)
			}
		}
	}
	return parts
}

// judgeDigests compares the digests of members, by their ids. There are as many
// members as it says, some of which may not have answered. A state is right if
// most members have it, and at least two.
func judgeDigests(members int, of map[string][]digest.Digest) verdict {
	v := verdict{wrong: make(map[string]uint64)}
	for p, values := range partsOf(of) {
		count, right := make(map[string]int), ""
		for _, value := range values {
			if count[value]++; count[value] > members/2 && count[value] > 1 {
				right = value
			}
		}
		if right == "" {
			if len(count) > 1 {
				v.undecided = max(v.undecided, p.index)
			}
			continue
		}
		v.last = max(v.last, p.index)
		for member, value := range values {
			if at := v.wrong[member]; value != right && (at == 0 || p.index < at) {
				v.wrong[member] = p.index
			}
		}
	}
	return v
}

// compare compares the digests of this server with those of the others that run
// the same program. If its own state is not that of most, it ends.
func (l *Log) compare() {
	l.noteWrong("", 0) // forgets those that were removed
	answered, members := l.fresh()
	of := map[string][]digest.Digest{l.ID(): l.machine.Digests()}
	for i := range answered {
		o := &answered[i]
		for _, d := range o.Digests {
			if d.Next != nil {
				l.machine.Adopt(d.Index, d.Next)
			}
		}
		if o.Version == l.o.Version {
			of[o.ID] = o.Digests
		}
	}
	v := judgeDigests(members, of)
	c := &l.compared
	c.mu.Lock()
	news := v.undecided != 0 && v.undecided != c.undecided
	c.undecided, c.last = v.undecided, max(c.last, v.last)
	c.mu.Unlock()
	for id, index := range v.wrong {
		l.noteWrong(id, index)
	}
	if index := v.wrong[l.ID()]; index != 0 {
		l.differ(index)
	} else if news && len(v.wrong) == 0 {
		l.o.Log.Warn("servers have different data, and too few have answered to tell which is right", "entry", v.undecided)
	}
}

// noteWrong notes that the state of a member is not that of most. It forgets
// members that were removed.
func (l *Log) noteWrong(id string, index uint64) {
	all := l.members()
	is := func(id string) bool { return slices.ContainsFunc(all, func(m Member) bool { return m.ID == id }) }
	c := &l.compared
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.wrong, func(id string, _ uint64) bool { return !is(id) })
	if !is(id) || c.wrong[id] != 0 {
		return
	}
	if c.wrong == nil {
		c.wrong = make(map[string]uint64)
	}
	c.wrong[id] = index
	if id != l.ID() {
		l.o.Log.Error("the data of another server differs from that of most servers: it stops by itself; then empty its data directory and let it join again",
			"id", id, "entry", index)
	}
}

// differsFile is the file that keeps a server from starting after its state was
// found to differ.
const differsFile = "DIFFERS"

// differ ends this server, whose state is not that of most. It hands leadership
// over first, and tells the others.
func (l *Log) differ(index uint64) {
	l.unfit.Store(&unfit{full: true, why: &trackway.Error{Code: trackway.Overloaded, Msg: "This server stops, because its data differs from that of the others."}})
	err := fmt.Errorf("%w, as the digest of entry %d says. Remove it (trackway cluster remove %s, at another server), empty its data directory, "+
		"start it and let it join again (trackway cluster join)", ErrDiffers, index, l.ID())
	l.resign()
	l.tell(change{Do: "differs", ID: l.ID(), Applied: index})
	if failed := l.mark(err.Error() + "\n"); failed != nil {
		err = errors.Join(err, failed)
	}
	l.fatal(err)
}

// mark writes the file that keeps this server from starting.
func (l *Log) mark(text string) error {
	f, err := l.o.FS.Create(l.o.FS.PathJoin(l.o.Dir, differsFile), "unspecified")
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	return errors.Join(err, f.Sync(), f.Close(), syncDir(l.o.FS, l.o.Dir))
}

// checkEqual returns an error if the state of this server was found to differ.
func (l *Log) checkEqual() error {
	name := l.o.FS.PathJoin(l.o.Dir, differsFile)
	f, err := l.o.FS.Open(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err // it may be there
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<10))
	return errors.Join(fmt.Errorf("%w: %s says: %s", ErrDiffers, name, text), err, f.Close())
}

// orderDigest has all servers take a digest, if this server leads and one is
// due.
func (l *Log) orderDigest(ctx context.Context) {
	last := digest.Digest{}
	if taken := l.machine.Digests(); len(taken) > 0 {
		last = taken[len(taken)-1]
	}
	c := &l.compared
	if last.Index != c.seen {
		c.seen, c.at = last.Index, time.Now()
	}
	if l.raft.State() != hraft.Leader || l.Unfit() != nil || l.broken() != nil || !l.due(last, time.Since(c.at)) || !c.busy.TryLock() {
		return
	}
	e := new(entry.Digest)
	if len(last.Next) > 0 {
		e.After = last.Index
	}
	go func() {
		defer c.busy.Unlock()
		if err := l.Append(ctx, e); err != nil && ctx.Err() == nil {
			l.o.Log.Info("the servers took no digest", "error", err)
		}
	}()
}

// due reports whether a digest is due, so long after the last one. Before the
// first one that this server knows of, all members must have answered: an older
// program could not read the entry.
func (l *Log) due(last digest.Digest, since time.Duration) bool {
	all, c := l.members(), &l.compared
	if len(all) < 2 || since < l.o.digests.least || last.Index != 0 && last.Content == "" && since < l.o.digests.time {
		return false // the last one is being read
	}
	starts, applied, started := make(map[string]uint64), l.progress.Reached(), false
	for _, m := range all {
		known, ok := l.others.get(m.ID)
		if m.ID == l.ID() {
			known.Start, known.Applied, ok = l.counter.Load()>>startBits, applied, true
		}
		if !ok && last.Index == 0 {
			return false
		}
		starts[m.ID] = known.Start
		started = started || c.starts[m.ID] != known.Start && known.Applied >= last.Index
	}
	if !started && since < l.o.digests.time && applied < last.Index+l.o.digests.entries {
		return false
	}
	c.starts = starts
	return true
}
