// Package traffic keeps a record of calls, so that other limits than those in force can be tried on what really came. Its one
// idea is that all calls of one caller for one route within one second are one row: a flood of 70 000 calls a second costs as
// much as one call. What does not fit its bounds, of memory and of disk, is counted as not recorded, and a disk that fails
// loses some of the record and nothing else.
//
// It holds what a limit can depend on, and nothing more: an address (of an IPv6 one the first 64 bits), the method and the
// route's pattern, the names of a project and a key, never a path with what it names, a token, a body or a customer. Addresses
// are personal data all the same, so that nothing is recorded unless the operator says so, and rows go when they are too old.
package traffic

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trackway/internal/clientip"
	"trackway/internal/limit"
)

// Kind is what calls have in common besides their caller and their time.
type Kind struct {
	Method  string // one that is known, else [OtherMethod]
	Route   string // the route's pattern
	Path    string // the pattern again; of a route that many paths share, as it ends in a slash or is no path, the path's first part
	Project string // the project's name, if the credentials were good
	Key     string // the key's name, if the credentials were good
	Refused string // the name of the policy that refused the call; empty: it was admitted
}

// OtherMethod stands for every method that is not one of HTTP's own: a caller can make up any.
const OtherMethod = "OTHER"

// Settings are what the operator chooses.
type Settings struct {
	Record   bool
	Keep     time.Duration // how old a row can get
	MaxBytes int64         // of all files together
	Limits   uint64        // names the limits in force, so that a reader sees when they changed

	Projects map[string]string // their names by their tokens, which are not written
}

// Recorder makes the record. Safe for concurrent use.
type Recorder struct {
	log   *slog.Logger
	roots []string
	now   func() time.Time // for what comes without a time

	on     atomic.Bool
	shards [shards]shard
	totals totals

	mu sync.Mutex // guards what follows, and is held over writing; never taken by whoever notes a call
	disk
}

// New returns a recorder whose files lie in dir, which is made when there is
// something to write. roots are the first parts of the paths that are served,
// such as "/api/": of other paths nothing is kept, since callers may make up
// any. Nothing is recorded until [Recorder.Reload] says so.
func New(dir string, roots []string, log *slog.Logger) *Recorder {
	return &Recorder{log: log, roots: roots, now: time.Now, disk: disk{dir: dir}}
}

// On tells whether calls are recorded: [Recorder.Note] is only worth its while if so.
func (r *Recorder) On() bool { return r.on.Load() }

// Note records a call as it came, with what the limits in force decided. It costs less than 100 ns, does not allocate, and waits
// for nobody but others who note a call of a caller that shares a lock with this one. A call without an address is not recorded.
// c's project and key have to be known, whether the limits in force count by them or not.
func (r *Recorder) Note(at time.Time, c *limit.Call, d *limit.Decision) {
	refused := ""
	if !d.Allowed {
		refused = d.Policy
	}
	r.add(at, c, refused, 1, 0)
}

// GiveBack records that a call, which was noted and admitted, costs nothing: it was answered with 304.
func (r *Recorder) GiveBack(at time.Time, c *limit.Call) { r.add(at, c, "", 0, 1) }

func (r *Recorder) add(at time.Time, c *limit.Call, refused string, calls, back uint32) {
	if !r.On() || !c.Addr.IsValid() {
		return
	}
	addr := clientip.KeyOf(c.Addr, AddrBits)
	k := key{second: at.Unix(), addr: addr.Lo, kind: Kind{
		Method: known(c.Method), Route: c.Route, Path: r.pathOf(c.Route, c.Path), Project: c.Project, Key: c.Key, Refused: refused,
	}}
	if k.v6 = addr.Bits == AddrBits; k.v6 {
		k.addr = addr.Hi
	}
	ms := uint16(at.Nanosecond() / int(time.Millisecond))
	r.shards[k.shard()].add(&k, ms, calls, back)
}

// AddrBits are kept of an IPv6 address: what makes one caller by default. With more, whoever has a /64 could fill a record.
const AddrBits = 64

// methods are those that are kept. Other ones may be anything.
var methods = []string{"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}

// known returns a method as it is kept, as a text that does not hold on to a
// request.
func known(method string) string {
	if i := slices.Index(methods, method); i >= 0 {
		return methods[i]
	}
	return OtherMethod
}

// pathOf returns the path that is kept: the route's pattern, or, of a route for
// many paths, the path's first part.
func (r *Recorder) pathOf(route, path string) string {
	if strings.HasPrefix(route, "/") && !strings.HasSuffix(route, "/") {
		return route
	}
	for _, part := range r.roots {
		if strings.HasPrefix(path, part) {
			return part
		}
	}
	return "/"
}

// Reload has the recorder go on with other settings. Where it ends recording, what was noted is written first; what is there
// already still goes when it is too old.
func (r *Recorder) Reload(s Settings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.on.Load() {
		_ = r.writeLocked(now) // under the settings of before; it has been logged
	}
	if s.Record && !r.on.Load() {
		r.covered = now.Unix()
		for i := range r.shards {
			r.shards[i].clear() // of before it was switched off
		}
	}
	if !s.Record {
		r.closeSegment()
	}
	r.settings = s
	r.on.Store(s.Record)
}

// Run writes what is recorded, once in a while, and removes what is too old, until ctx ends. It returns nil.
func (r *Recorder) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			r.tick(now)
		case <-ctx.Done():
			return nil
		}
	}
}

// Rows wait for a while, so that those of one caller come to lie together and take less room. A frame without rows says that
// nothing came, which is another thing than a record with a hole.
const (
	writeEvery = 10 * time.Second
	aliveEvery = time.Minute
	pruneEvery = time.Minute
)

func (r *Recorder) tick(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.on.Load() {
		r.drainLocked()
		age := now.Sub(r.wrote)
		if age >= aliveEvery || age >= writeEvery && len(r.rows) > 0 || len(r.rows) >= maxRows {
			_ = r.writeLocked(now) // it has been logged
		}
	}
	if now.Sub(r.pruned) >= pruneEvery {
		r.pruned = now
		err := r.prune(now, 0)
		if err != nil && !r.stuck {
			r.log.Warn("recorded calls that are too old, or too many, cannot be removed; said once", "err", err)
		}
		r.stuck = err != nil
		r.totals.bytes.Store(r.total)
	}
}

// Flush writes all that has been noted. The error says why some of it is lost.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.on.Load() {
		return nil
	}
	return r.writeLocked(r.now())
}

// Close writes all that has been noted, and records no more.
func (r *Recorder) Close() error {
	err := r.Flush()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on.Store(false)
	r.closeSegment()
	return err
}

// writeLocked writes a frame of what has been noted up to now. Where that fails it is lost, which is said once until it goes
// well again.
func (r *Recorder) writeLocked(now time.Time) error {
	r.drainLocked()
	r.totals.unrecorded.Add(r.unrecorded)
	err := r.write(now)
	if err != nil {
		r.totals.failures.Add(1)
	}
	r.complain(err)
	return err
}

// complain logs the first error of a row of them, and the end of the row.
func (r *Recorder) complain(err error) {
	switch {
	case err != nil && !r.failing:
		r.log.Warn("calls cannot be recorded; said once", "err", err)
	case err == nil && r.failing:
		r.log.Info("calls are recorded again")
	}
	r.failing = err != nil
}

// drainLocked takes what was noted out of the shards.
func (r *Recorder) drainLocked() {
	for i := range r.shards {
		rows, unrecorded := r.shards[i].drain(r.rows)
		r.rows, r.unrecorded = rows, r.unrecorded+unrecorded
	}
}
