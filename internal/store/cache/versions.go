package cache

import (
	"sync"
	"sync/atomic"
)

// Versions counts the changes of each project. Readers do not need the store's
// lock, which merges may hold for milliseconds.
type Versions struct{ m sync.Map } // of *atomic.Uint64 by project

// Of returns the number of changes of a project.
func (v *Versions) Of(project uint32) *atomic.Uint64 {
	if n, ok := v.m.Load(project); ok {
		return n.(*atomic.Uint64)
	}
	n, _ := v.m.LoadOrStore(project, new(atomic.Uint64))
	return n.(*atomic.Uint64)
}

// Changed counts a change. Call it once readers can see the change: if it were
// called earlier, a reader could read the old data under the new number and
// keep it.
func (v *Versions) Changed(project uint32) { v.Of(project).Add(1) }
