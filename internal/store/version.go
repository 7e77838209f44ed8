package store

import (
	"sync"
	"sync/atomic"
)

// versions counts the changes of each project. It is read without the store's lock, which merges may hold for milliseconds.
type versions struct{ m sync.Map } // of *atomic.Uint64 by project

func (v *versions) of(project uint32) *atomic.Uint64 {
	if n, ok := v.m.Load(project); ok {
		return n.(*atomic.Uint64)
	}
	n, _ := v.m.LoadOrStore(project, new(atomic.Uint64))
	return n.(*atomic.Uint64)
}

// changed counts a change. It is called once the change can be seen: were it earlier, a reader could take the old data under the
// new number, and keep it.
func (v *versions) changed(project uint32) { v.of(project).Add(1) }

// Version implements [query.Store].
func (s *Store) Version(project uint32) uint64 {
	return s.versions.of(project).Load()
}
