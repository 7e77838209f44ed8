package store

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"

	"trackway"
)

// maxGroup is how many commands one group takes. It bounds how long a group holds the lock and how large its batch is; a
// request's own commands are never parted.
const maxGroup = 1024

// Errors that a whole group shares.
var (
	errGivenUp      = errors.New("the request that others were applied with has failed") // by a panic
	errNotCommitted = errors.New("batch not committed")
)

// group is the commands of requests that came while others were being applied. The first of them applies them all, as one
// batch with one wait for the disk, since each batch and each wait has a price that does not depend on what is in it.
type group struct {
	requests []member
	commands int
	seq      uint64        // the last event that was in the log when the group was committed
	done     chan struct{} // closed when err and all results are there
	err      error
}

// member is a request in a group: what one call of Apply was given.
type member struct {
	cmds    []trackway.Command
	results []trackway.Result
	err     error
	done    int           // commands that were carried out; the rest goes with the next group
	crowded *crowdedError // what the next command waits for; nil: nothing
}

// gathering puts requests into groups.
type gathering struct {
	mu  sync.Mutex
	now *group // takes requests in; nil: there is none yet
}

// join adds a request to the group that is open. It returns the request's place in it; the first has to apply the group.
func (g *gathering) join(cmds []trackway.Command, results []trackway.Result) (joined *group, place int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now == nil || g.now.commands+len(cmds) > maxGroup {
		g.now = &group{done: make(chan struct{})}
	}
	g.now.requests = append(g.now.requests, member{cmds: cmds, results: results})
	g.now.commands += len(cmds)
	return g.now, len(g.now.requests) - 1
}

// close lets nobody join gr any more.
func (g *gathering) close(gr *group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now == gr {
		g.now = nil
	}
}

// applyGroup carries out a group and waits until it is on the disk.
func (s *Store) applyGroup(g *group) {
	g.err = errGivenUp // until the barrier has returned, whatever ends this goroutine
	defer close(g.done)
	s.counts.Room()
	runtime.Gosched() // requests that are ready to join need a processor to do so
	err := s.commitGroup(g)
	if err == nil {
		err = s.barrier()
	}
	if g.err = err; err == nil {
		s.synced.raise(g.seq)
	}
}

// commitGroup commits a group's commands without waiting for the disk. What it decides on has been committed before but need
// not be on the disk yet: the write-ahead log keeps the order, so that a crash that forgets the earlier forgets the later too.
//
// A request that fails, on a damaged record or by a panic, takes no other with it: those that were in a batch with it are applied
// again, each by itself. Only where the batch itself cannot be committed do all fail.
func (s *Store) commitGroup(g *group) error {
	at, alone := 0, false
	for more := true; more; more = at < len(g.requests) { // which may grow until applySome has closed the group
		next, err := s.applySome(g, at, alone)
		switch {
		case err == nil:
			at = next
		case errors.Is(err, errNotCommitted):
			return err
		case !alone:
			alone = true
		default:
			g.requests[at].err = err
			at++
		}
	}
	return nil
}

// applySome carries out requests from one on, as one batch: all, unless they have kept others waiting for long enough, or, if
// alone, one. It returns the request to go on with.
func (s *Store) applySome(g *group, at int, alone bool) (_ int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gathering.close(g)
	t := s.begin(g.commands > 1)
	defer t.close()
	defer t.catch(&err)
	for at < len(g.requests) && t.moved < s.mostMoved {
		if err := t.request(&g.requests[at]); err != nil {
			return at, err
		}
		at++
		if alone {
			break
		}
	}
	if err := t.stageUsage(); err != nil {
		return at, err
	}
	if err := t.commit(); err != nil {
		return at, fmt.Errorf("%w: %w", errNotCommitted, err)
	}
	g.seq = s.nextSeq - 1
	return at, nil
}

// request carries out the commands of a request up to the first that takes
// what is moved under the lock to its bound, or that has to wait. The others of
// the group are answered before the rest of them, which goes with the next
// group: so a request of many large merges holds up itself.
func (t *tx) request(r *member) error {
	r.done, r.crowded = 0, nil
	for r.done < len(r.cmds) && t.moved < t.s.mostMoved {
		c := &r.cmds[r.done]
		if c.Kind == trackway.Nothing {
			r.done++
			continue
		}
		result, err := t.command(c)
		if crowded, ok := errors.AsType[*crowdedError](err); ok {
			r.crowded = crowded
			return nil
		} else if err != nil {
			return err
		}
		r.results[r.done] = result
		t.count(c, &result)
		t.touch(c.Project)
		r.done++
	}
	return nil
}

// panicked is a command's panic on its way to the request that brought it, which may wait in another goroutine.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// catch makes a panic an error, unless the batch may be committed already: others must not be applied again then.
func (t *tx) catch(err *error) {
	if t.committing {
		return
	}
	if value := recover(); value != nil {
		*err = &panicked{value: value, stack: debug.Stack()}
	}
}

// touch notes that a project's data changes.
func (t *tx) touch(project uint32) {
	if n := len(t.touched); n == 0 || t.touched[n-1] != project {
		t.touched = append(t.touched, project)
	}
}
