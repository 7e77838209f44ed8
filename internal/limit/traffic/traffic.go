// Package traffic records calls, so that operators can try other limits on real
// traffic. One row holds all calls of one caller to one route within one
// second, so a flood of 70 000 calls a second costs as much as one call. The
// recorder has bounds for memory and disk, and counts the calls that exceed
// them as not recorded. A failing disk loses a part of the record and affects
// nothing else.
//
// The record holds only what a limit can depend on: an address (for IPv6 the
// first 64 bits), the method, the route's pattern, and the names of a project
// and a key. It never holds a path with its values, a token, a body or a
// customer. Addresses are still personal data, so recording is off by default,
// and old rows are removed.
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

// Kind is what calls have in common besides their caller and time.
type Kind struct {
	Method string // a known one, else [OtherMethod]
	Route  string // the route's pattern
	// Path is usually the pattern again. If many paths share the route, because
	// it ends in a slash or is not a path, it is the first part of the path.
	Path    string
	Project string // the project's name, if the credentials were good
	Key     string // the key's name, if the credentials were good
	Refused string // the name of the policy that refused the call; empty if admitted
}

// OtherMethod stands for every method that HTTP does not define, since a caller
// can invent any.
const OtherMethod = "OTHER"

// Settings are what the operator chooses.
type Settings struct {
	Record   bool
	Keep     time.Duration // the maximum age of a row
	MaxBytes int64         // of all files together
	Limits   uint64        // names the limits in force, so that a reader sees changes

	Projects map[string]string // names by token; tokens are not written
}

// Recorder makes the record. It is safe for concurrent use.
type Recorder struct {
	log   *slog.Logger
	roots []string
	now   func() time.Time // for calls without a time

	on     atomic.Bool
	shards [shards]shard
	totals totals

	mu     sync.Mutex // guards the fields below; held during writes; never taken to note a call
	chosen *choice    // nil: the configuration decides whether calls are recorded
	disk
}

// New returns a recorder that keeps its files in dir, which it creates at the
// first write. roots are the first parts of the served paths, such as "/api/".
// It keeps nothing of other paths, since callers may invent any. It records
// nothing until [Recorder.Reload] or [Recorder.Switch] turns recording on.
func New(dir string, roots []string, log *slog.Logger) *Recorder {
	r := &Recorder{log: log, roots: roots, now: time.Now, disk: disk{dir: dir}}
	r.chosen = r.readChoice()
	return r
}

// On reports whether calls are recorded. If not, [Recorder.Note] does nothing.
func (r *Recorder) On() bool { return r.on.Load() }

// Note records a call as it came, with the decision of the limits in force. It
// costs less than 100 ns, does not allocate, and waits only for others who note
// a call of a caller in the same shard. It ignores a call without an address.
// c's project and key must be set even if the limits in force do not count by
// them.
func (r *Recorder) Note(at time.Time, c *limit.Call, d *limit.Decision) {
	refused := ""
	if !d.Allowed {
		refused = d.Policy
	}
	r.add(at, c, refused, 1, 0)
}

// GiveBack records that a noted and admitted call costs nothing because it was
// answered with 304.
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

// AddrBits is how many bits of an IPv6 address are kept: those that identify a
// caller by default. With more, the owner of a /64 could fill a record.
const AddrBits = 64

// methods are kept by name. Callers may invent others.
var methods = []string{"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}

// known returns a method as it is kept. The text does not keep a request alive.
func known(method string) string {
	if i := slices.Index(methods, method); i >= 0 {
		return methods[i]
	}
	return OtherMethod
}

// pathOf returns the path to keep: the route's pattern or, if many paths share
// the route, the first part of the path.
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

// Reload applies other settings. If they end recording, it writes the noted
// calls first; existing rows are still removed when they are too old. Whether
// calls are recorded may have been chosen otherwise: see [Recorder.Switch].
func (r *Recorder) Reload(s Settings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.chosen != nil && r.chosen.Record == s.Record {
		r.forgetLocked()
	}
	r.applyLocked(s)
}

// applyLocked puts settings and the operator's choice in force.
func (r *Recorder) applyLocked(s Settings) {
	now, on := r.now(), s.Record
	if r.chosen != nil {
		on = r.chosen.Record
	}
	if r.on.Load() {
		_ = r.writeLocked(now) // uses the previous settings; the error has been logged
	}
	if on && !r.on.Load() {
		r.covered = now.Unix()
		r.written.begin(now)
		for i := range r.shards {
			r.shards[i].clear() // noted before recording was switched off
		}
	}
	if !on {
		r.closeSegment()
	}
	r.settings = s
	r.on.Store(on)
}

// Run writes the record from time to time and removes old rows, until ctx ends.
// It returns nil.
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

// Rows wait for a while, so that those of one caller are stored together and
// take less space. A frame without rows says that no calls came, unlike a gap
// in the record.
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
			_ = r.writeLocked(now) // the error has been logged
		}
	}
	if now.Sub(r.pruned) >= pruneEvery {
		r.pruned = now
		r.written.minute(now)
		err := r.prune(now, 0)
		if err != nil && !r.stuck {
			r.log.Warn("old recorded calls cannot be removed; this is logged once", "err", err)
		}
		r.stuck = err != nil
		r.totals.bytes.Store(r.total)
	}
}

// Flush writes all noted calls. If it fails, some of them are lost.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.on.Load() {
		return nil
	}
	return r.writeLocked(r.now())
}

// Close writes all noted calls and stops recording.
func (r *Recorder) Close() error {
	err := r.Flush()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on.Store(false)
	r.closeSegment()
	return err
}

// writeLocked writes a frame of the calls noted so far. If that fails, they are
// lost; it logs only the first of several failures.
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

// complain logs the first error of a series, and the end of the series.
func (r *Recorder) complain(err error) {
	switch {
	case err != nil && !r.failing:
		r.log.Warn("calls cannot be recorded; this is logged once", "err", err)
	case err == nil && r.failing:
		r.log.Info("calls are recorded again")
	}
	r.failing = err != nil
}

// drainLocked takes the noted calls out of the shards.
func (r *Recorder) drainLocked() {
	for i := range r.shards {
		rows, unrecorded := r.shards[i].drain(r.rows)
		r.rows, r.unrecorded = rows, r.unrecorded+unrecorded
	}
}
