package limit

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"trackway"
	"trackway/internal/limit/share"
)

// Servers with connections between them admit a limit and no more, if many
// calls come at the same time. In every second round, one server fails on the
// way: its calls still count.
func TestServersShareALimit(t *testing.T) {
	t.Parallel()
	for round := range 20 {
		synctest.Test(t, func(t *testing.T) {
			const n, workers, calls = 3, 8, 300
			limit := 1 + rand.Uint32N(400)
			fails := round%2 == 1
			ctx, stop := context.WithCancel(t.Context())
			limiters, groups, failed := make([]*Limiter, n), make([]*share.Group, n), make(chan struct{})
			var running sync.WaitGroup
			members := make([]share.Member, n)
			for i := range n {
				members[i] = share.Member{ID: strconv.Itoa(i)}
				limiters[i] = New(mustSet(t, shared(limit, trackway.PerIP)), 1000)
			}
			dial := func(_ context.Context, m share.Member) (net.Conn, error) {
				here, there := net.Pipe()
				to, _ := strconv.Atoi(m.ID)
				running.Go(func() { groups[to].Serve(there); _ = there.Close() })
				if to == 0 {
					running.Go(func() {
						select {
						case <-failed:
							_ = there.Close()
						case <-ctx.Done():
						}
					})
					select {
					case <-failed:
						return nil, errors.Join(errors.New("it has failed"), here.Close(), there.Close())
					default:
					}
				}
				return here, nil
			}
			for i := range n {
				groups[i] = share.New(share.Options{
					Self: members[i].ID, Members: func() []share.Member { return members }, Dial: dial, Ledger: limiters[i], Changed: func() {},
				})
				limiters[i].ShareWith(groups[i])
			}
			for _, g := range groups {
				running.Go(func() { _ = g.Run(ctx) })
			}
			synctest.Wait()
			var admitted atomic.Uint32
			var callers sync.WaitGroup
			var once sync.Once
			for w := range n * workers {
				random := rand.New(rand.NewPCG(uint64(round), uint64(w)))
				callers.Go(func() {
					for k := range calls {
						i := min(random.IntN(n), random.IntN(n))
						select {
						case <-failed:
							i = max(i, 1)
						default:
						}
						if fails && k == calls/10 {
							once.Do(func() { close(failed) })
						}
						if d := limiters[i].Allow(time.Now(), call("/api/x", "192.0.2.1")); d.Allowed {
							admitted.Add(1)
						}
					}
				})
			}
			callers.Wait()
			if got := admitted.Load(); got > limit || !fails && got != limit {
				t.Errorf("%d calls were admitted, want %d (a server fails: %v)", got, limit, fails)
			}
			stop()
			running.Wait()
		})
	}
}
