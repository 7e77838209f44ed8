package raft

import (
	"cmp"
	"context"
	"fmt"

	"trackway/internal/entry"
	"trackway/internal/entry/version"
)

// keyEntries is the highest version of the entries that the log of this server
// may have.
const keyEntries = ".entries"

// reads is the highest version of entries that this program reads. Programs
// that say nothing read 0.
const reads = version.Keys

// beginEntries finds out what the log has. It refuses a log with entries that
// this program cannot read: to apply one would end the server.
func (l *Log) beginEntries() error {
	known, err := l.store.GetUint64([]byte(keyEntries))
	if err != nil {
		return err
	}
	if known > reads {
		return fmt.Errorf("this log may have entries of version %d, and this program (%s) reads version %d: start the newer program again. "+
			"Or remove this server from its cluster, empty its data directory, and let it join again", known, l.program(), reads)
	}
	l.encoding.Store(known)
	return l.noteState()
}

// noteState notes the version that a program must read to go on with the state
// of the machine. It may come from a server that stood alone.
func (l *Log) noteState() error {
	if !l.machine.Keyed() {
		return nil
	}
	return l.noteEntries(version.Keys)
}

// noteEntries notes that the log may have entries of a version, before this
// server writes one, or when it applies one.
func (l *Log) noteEntries(written uint64) error {
	if l.encoding.Load() >= written {
		return nil
	}
	l.noting.Lock()
	defer l.noting.Unlock()
	if l.encoding.Load() >= written {
		return nil
	}
	if err := l.store.SetUint64([]byte(keyEntries), written); err != nil {
		return err
	}
	l.encoding.Store(written)
	return nil
}

// admits returns an error if a server cannot read the entries of the cluster.
// It would be told to join, and end at the first such entry. A program that
// says nothing when it wants to join may say it in its standing.
func (l *Log) admits(c *change) error {
	written, read := l.encoding.Load(), c.Entries
	if read == 0 && written > 0 {
		if s := l.standingAt(c.Address); s != nil && s.ID == c.ID {
			read = s.Entries
		}
	}
	if uint64(max(read, 0)) >= written {
		return nil
	}
	return fmt.Errorf("the cluster writes entries of version %d, and the program of the server that wants to join (%s) reads version %d: "+
		"install a newer one there, for example that of the leader (%s)", written, cmp.Or(c.Version, "an older one"), read, l.program())
}

func (l *Log) program() string { return cmp.Or(l.o.Version, "of no version") }

// noteReaders finds out what all members can read, as far as they have said.
func (l *Log) noteReaders() {
	members := l.members()
	lowest := uint64(reads)
	for _, m := range members {
		known, ok := l.others.get(m.ID)
		switch {
		case m.ID == l.ID():
		case !ok:
			lowest = 0
		default:
			lowest = min(lowest, uint64(max(known.Entries, 0)))
		}
	}
	if len(members) == 0 { // they are not known
		lowest = 0
	}
	if l.noteEntries(min(lowest, version.Contents)) != nil { // a failed write is fatal
		lowest = 0
	}
	l.readers.Store(lowest)
}

// mayWrite reports whether all members can read entries of a version. Then it
// has noted that the log may have some.
func (l *Log) mayWrite(v uint64) bool {
	return l.readers.Load() >= v && l.noteEntries(v) == nil
}

// allRead is [Log.mayWrite], after it has asked the members that have not
// answered lately.
func (l *Log) allRead(ctx context.Context, v uint64) bool {
	if v == 0 {
		return true
	}
	l.askOthers(ctx)
	l.noteReaders()
	return l.mayWrite(v)
}

// carry has an entry carry the contents of its events, if all members can read
// that.
func (l *Log) carry(c *entry.Commands) {
	c.Carries = true
	c.Carries = l.mayWrite(version.Of(c))
}
