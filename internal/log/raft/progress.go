package raft

import "sync"

// progress is how far this server's machine is. It is safe for concurrent use.
type progress struct {
	mu      sync.Mutex
	index   uint64
	changed chan struct{} // closed at the next change; nil: nobody waits
}

// reach notes that the machine has applied an entry.
func (p *progress) reach(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index = max(p.index, index)
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// reached returns the index of the last entry that was applied.
func (p *progress) reached() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.index
}

// await waits until an entry is applied, or one of two channels is closed. It
// reports whether the entry is applied.
func (p *progress) await(index uint64, end, done <-chan struct{}) bool {
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
