package cache

import (
	"crypto/rand"
	"sync"

	"trackway/internal/change"
	"trackway/internal/entry"
)

// Versions knows the version of each project's data. Readers do not need the
// store's lock, which merges may hold for milliseconds. The zero value is ready
// to use.
type Versions struct {
	mu    sync.RWMutex
	own   [16]byte // random: names what this store, as long as it is open, has changed alone
	count uint64   // of those changes
	known map[uint32]change.Version
}

// Of returns the version of a project's data.
func (v *Versions) Of(project uint32) change.Version {
	v.mu.RLock()
	known, ok := v.known[project]
	v.mu.RUnlock()
	if ok {
		return known
	}
	// Nothing has changed since the start. Only this store knows that.
	v.mu.Lock()
	defer v.mu.Unlock()
	v.nameLocked()
	return change.Version{Origin: v.own}
}

// Changed notes that the entry with an index has changed projects. If it is of
// a shared log, once names it, and all servers that have applied it have the
// same version; otherwise once is nil. Call it once readers can see the change:
// if it were called earlier, a reader could read the old data under the new
// version and keep it.
func (v *Versions) Changed(projects []uint32, index uint64, once *entry.Once) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.nameLocked()
	v.count++
	version := change.Version{Origin: v.own, Counter: v.count}
	if once != nil {
		version = change.Version{Origin: once.Origin, Counter: once.Counter, Index: index}
	}
	for _, project := range projects {
		v.known[project] = version
	}
}

// nameLocked draws a name for this store, if it has none yet.
func (v *Versions) nameLocked() {
	if v.known == nil {
		v.known = make(map[uint32]change.Version)
		_, _ = rand.Read(v.own[:]) // it never fails
	}
}
