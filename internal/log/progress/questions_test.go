package progress_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"trackway/internal/log/progress"
)

// TestQuestions: an answer is never from before the question, one question is
// under way at a time, and those who wait share one.
func TestQuestions(t *testing.T) {
	t.Parallel()
	var q progress.Questions
	var begun, ended atomic.Uint64
	begin := func() (func(), bool) { return func() {}, true }
	ask := func() (uint64, error) {
		n := begun.Add(1)
		if n != ended.Load()+1 {
			t.Error("two questions are under way")
		}
		ended.Add(1)
		return n, nil
	}
	const callers, each = 8, 200
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range each {
				before := begun.Load()
				if n, err := q.Ask(t.Context(), begin, nil, ask); err != nil || n <= before {
					t.Errorf("got %d, %v, after question %d had begun", n, err, before)
				}
			}
		})
	}
	all.Wait()
	if n := begun.Load(); n > callers*each {
		t.Errorf("%d questions for %d callers", n, callers*each)
	}
	closed := errors.New("closed")
	if _, err := q.Ask(t.Context(), func() (func(), bool) { return nil, false }, closed, ask); !errors.Is(err, closed) {
		t.Errorf("got %v, want %v", err, closed)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	never := make(chan struct{})
	defer close(never)
	if _, err := q.Ask(stopped, begin, nil, func() (uint64, error) { <-never; return 0, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
