package progress

import (
	"context"
	"sync"
)

// Questions are the questions for the latest index of a log. One is under way
// at a time, and callers that come meanwhile share the next one. The zero value
// is ready to use, by several goroutines.
type Questions struct {
	one sync.Mutex // held by the question that is under way

	mu   sync.Mutex
	next *answer // of a question that was not asked yet; nil: nobody waits
}

type answer struct {
	done  chan struct{} // closed when index and err are there
	index uint64
	err   error
}

// Ask returns what ask returns, if that is called after Ask, or why ctx ended.
// ask runs between begin and the end that begin returns. If begin refuses, Ask
// returns closed.
func (q *Questions) Ask(
	ctx context.Context, begin func() (end func(), ok bool), closed error, ask func() (index uint64, err error),
) (uint64, error) {
	q.mu.Lock()
	a := q.next
	if a == nil {
		end, ok := begin()
		if !ok {
			q.mu.Unlock()
			return 0, closed
		}
		a = &answer{done: make(chan struct{})}
		q.next = a
		go func() {
			defer end()
			q.answer(a, ask)
		}()
	}
	q.mu.Unlock()
	select {
	case <-a.done:
		return a.index, a.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (q *Questions) answer(a *answer, ask func() (uint64, error)) {
	q.one.Lock()
	defer q.one.Unlock()
	q.mu.Lock()
	q.next = nil // later callers need another answer
	q.mu.Unlock()
	defer close(a.done)
	a.index, a.err = ask()
}
