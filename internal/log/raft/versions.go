package raft

import (
	"cmp"
	"fmt"

	"trackway/internal/entry"
)

// keyEntries is the highest encoding of the entries that the log of this server
// may have.
const keyEntries = ".entries"

// readsContents is the encoding of entries with contents, and the highest one
// that this program reads. Programs that say nothing read 0.
const readsContents = 1

// beginEntries finds out what the log has. It refuses a log with entries that
// this program cannot read: to apply one would end the server.
func (l *Log) beginEntries() error {
	known, err := l.store.GetUint64([]byte(keyEntries))
	if err != nil {
		return err
	}
	if known > readsContents {
		return fmt.Errorf("this log may have entries of version %d, and this program (%s) reads version %d: start the newer program again. "+
			"Or remove this server from its cluster, empty its data directory, and let it join again", known, l.program(), readsContents)
	}
	l.encoding.Store(known)
	return nil
}

// noteEntries notes that the log may have entries of a version, before this
// server writes one, or when it applies one.
func (l *Log) noteEntries(version uint64) error {
	if l.encoding.Load() >= version {
		return nil
	}
	if err := l.store.SetUint64([]byte(keyEntries), version); err != nil {
		return err
	}
	l.encoding.Store(version)
	return nil
}

// noteApplied notes the version of an entry that this server applies.
func (l *Log) noteApplied(once *entry.Once) error {
	if c, ok := once.Entry.(*entry.Commands); ok && c.Carries {
		return l.noteEntries(readsContents)
	}
	return nil
}

// reads returns an error if a server cannot read the entries of the cluster. It
// would be told to join, and end at the first such entry. A program that says
// nothing when it wants to join may say it in its standing.
func (l *Log) reads(c *change) error {
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
	all := len(members) > 0 // else they are not known
	for _, m := range members {
		known, ok := l.others.get(m.ID)
		all = all && (m.ID == l.ID() || ok && known.Entries >= readsContents)
	}
	l.carries.Store(all && l.noteEntries(readsContents) == nil) // a failed write is fatal
}
