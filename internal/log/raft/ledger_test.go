package raft

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// ledger notes what became of each event.
type ledger struct {
	mu      sync.Mutex
	changed sync.Cond // signals that something became of another one
	became  map[string]error
	writing sync.WaitGroup
	stop    chan struct{}
}

// write has writers at each server send events until the ledger is stopped.
func (c *cluster) write(each int) *ledger {
	l := &ledger{became: make(map[string]error), stop: make(chan struct{})}
	l.changed.L = &l.mu
	for i, s := range c.servers {
		for w := range each {
			l.writing.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-l.stop:
						return
					case <-s.whenUp():
					}
					log := s.running()
					if log == nil {
						continue // it is down again
					}
					name := fmt.Sprintf("%c%d-%d", 'a'+i, w, n)
					err := log.Append(context.Background(), visit(name))
					l.mu.Lock()
					l.became[name] = err
					l.mu.Unlock()
					l.changed.Broadcast()
				}
			})
		}
	}
	return l
}

// acknowledged returns how many events are acknowledged. REQUIRES: mu is held,
// or nobody writes.
func (l *ledger) acknowledged() (n int) {
	for _, err := range l.became {
		if err == nil {
			n++
		}
	}
	return n
}

// await returns once so many more events are acknowledged.
func (l *ledger) await(more int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for from := l.acknowledged(); l.acknowledged() < from+more; {
		l.changed.Wait()
	}
}

// end stops the writers.
func (l *ledger) end() {
	close(l.stop)
	l.writing.Wait()
}

// check compares the ledger with the events that are there.
func (l *ledger) check(t *testing.T, events map[string]int) {
	t.Helper()
	lost, doubled, open, killed := 0, 0, 0, 0
	for name, err := range l.became {
		n := events[name]
		delete(events, name)
		switch {
		case n > 1:
			doubled++
		case err == nil && n == 0:
			lost++
		case errors.Is(err, ErrUnknown):
			open++
		case errors.Is(err, errKilled): // by a server without power, which nobody hears
			killed++
		case err != nil && n > 0:
			t.Errorf("%s is there after %v", name, err)
		}
	}
	if lost+doubled+len(events) > 0 {
		t.Errorf("of %d acknowledged events %d are lost and %d are doubled; %d were not sent", l.acknowledged(), lost, doubled, len(events))
	}
	t.Logf("%d acknowledged, %d unknown, %d while the power was off", l.acknowledged(), open, killed)
}
