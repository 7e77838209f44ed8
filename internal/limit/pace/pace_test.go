package pace

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestPace shows who is held back: nobody who is refused alone or among few, and a flood only as far as its rate asks for.
func TestPace(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_800_000_000, 0)
	p := New(start)
	p.interval = time.Millisecond
	for range refusalsAtOnce + 1 {
		if d := p.delay(start); d != 0 {
			t.Fatalf("one of the first %d refusals is held for %v", refusalsAtOnce+1, d)
		}
	}
	for want := time.Millisecond; want <= longestHold; want += time.Millisecond {
		if d := p.delay(start); d != want {
			t.Fatalf("a refusal is held for %v, want %v", d, want)
		}
	}
	for range 1000 { // however many come, the line gets no longer
		if d := p.delay(start); d != longestHold {
			t.Fatalf("a refusal is held for %v, want %v", d, longestHold)
		}
	}
	later := start.Add(100 * time.Millisecond)
	if d, want := p.delay(later), longestHold-100*time.Millisecond; d != want {
		t.Errorf("100 ms later a refusal is held for %v, want %v", d, want)
	}
	if d := p.delay(start.Add(time.Minute)); d != 0 {
		t.Errorf("after a minute's rest a refusal is held for %v", d)
	}
}

// TestPaceBoundsAFlood has callers who ask again as soon as they are answered.
func TestPaceBoundsAFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := New(start)
		p.interval = time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var mu sync.Mutex
		answers := 0
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for ctx.Err() == nil {
					p.Hold(ctx.Done(), time.Now())
					mu.Lock()
					answers++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if least, most := 9_900, 10_000+refusalsAtOnce+10; answers < least || answers > most {
			t.Errorf("%d answers in 10 s, want %d to %d", answers, least, most)
		}
		if held := p.held.Load(); held != 0 {
			t.Errorf("%d are still held", held)
		}
	})
}
