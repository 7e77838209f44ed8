// Package progress tells those who wait how far a machine is.
package progress

import "sync"

// Progress is how far this server's machine is. It is safe for concurrent use.
type Progress struct {
	mu      sync.Mutex
	index   uint64
	changed chan struct{} // closed at the next change; nil: nobody waits
}

// Reach notes that the machine has applied an entry.
func (p *Progress) Reach(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index = max(p.index, index)
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// Reached returns the index of the last entry that was applied.
func (p *Progress) Reached() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.index
}

// Await waits until an entry is applied, or one of two channels is closed. It
// reports whether the entry is applied.
func (p *Progress) Await(index uint64, end, done <-chan struct{}) bool {
	for {
		p.mu.Lock()
		if p.index >= index {
			p.mu.Unlock()
			return true
		}
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-end:
			return false
		case <-done:
			return false
		}
	}
}
