package control

import (
	"bufio"
	"context"
	"errors"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/change"
	"trackway/internal/export"
	"trackway/internal/query"
)

// Log is the end of the log of events. It is safe for concurrent use.
type Log interface {
	// Synced returns the number up to which all changes are on the disk.
	Synced() uint64

	// Follow iterates over the changes on the disk that come after a number. It
	// yields them in order and in batches, and waits for more until ctx ends.
	// Callers may keep the changes. An error ends the iteration, but a change
	// that cannot be read does not.
	Follow(ctx context.Context, after uint64) iter.Seq2[[]change.Change, error]

	// Current returns the present customer behind c, after merges, with its
	// identifiers, or 0 if there is no such customer.
	Current(project uint32, c trackway.Customer) (trackway.Customer, []trackway.Identifier, error)
}

// lookBack is how many changes are searched for the last events.
const lookBack = 10_000

// tail is what one call watches.
type tail struct {
	*call

	project *trackway.Project
	types   []string            // empty: all
	of      trackway.Identifier // the customer to watch; without a name: all customers
	table   export.Table
}

// tail sends events as they become durable, in the form of an export, until the
// caller leaves or the server stops. A slow caller lags behind but loses
// nothing, because it reads the log at its own pace.
func (c *call) tail() error {
	p, err := c.project()
	if err != nil {
		return err
	}
	t := tail{call: c, project: p, types: c.query["type"]}
	if t.of, err = whom(p, c.query.Get("customer")); err != nil {
		return err
	}
	seq, err := t.begin()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(c, writeBuffer)
	if t.table, err = export.New(export.NDJSON, out, p, export.Filter{Events: true}); err != nil {
		return err
	}
	if err := c.takesOut(p, "tail"); err != nil {
		return err
	}
	c.as("application/x-ndjson")
	_, _ = c.Write(nil) // so that the watcher sees at once that it is watching
	control := http.NewResponseController(c.w)
	if err := errors.Join(out.Flush(), control.Flush()); err != nil {
		return nil // the caller has gone
	}
	for changes, err := range c.Log.Follow(c.r.Context(), seq) {
		if err == nil {
			err = t.pass(changes)
		}
		gone := errors.Join(out.Flush(), control.Flush())
		if err != nil || gone != nil {
			return err
		}
	}
	return nil // the caller has left, or the server is stopping
}

// whom parses name=value, where name is an identifier of the project.
func whom(p *trackway.Project, text string) (id trackway.Identifier, err error) {
	if text == "" {
		return id, nil
	}
	id.Name, id.Value, _ = strings.Cut(text, "=")
	id = id.Trimmed()
	id.Hard = slices.Contains(p.Hard, id.Name)
	if _, nobody := p.LeavesOut(id); nobody || !id.Hard && !slices.Contains(p.Soft, id.Name) {
		known := strings.Join(slices.Concat(p.Hard, p.Soft), " or ")
		return id, ask.Invalid("customer", "NAME=VALUE with the name "+known)
	}
	return id, nil
}

// begin returns the sequence number after which to begin. With ?since=, the
// tail begins with the first event that was received at that time or later.
// Otherwise it begins with the last ?last= events, or fewer if a bounded search
// finds fewer.
func (t *tail) begin() (uint64, error) {
	since, err := t.micros("since")
	if err != nil {
		return 0, err
	}
	last, _ := strconv.Atoi(t.query.Get("last")) // none, if it is not given
	synced := t.Log.Synced()
	if since == 0 && last <= 0 || synced == 0 {
		return synced, nil
	}
	s := t.Store.Snapshot()
	defer func() { _ = s.Close() }() // what was read is read
	seq, looked := synced, 0
	var failed error
	err = s.Log(query.LogRange{Last: synced, NewestFirst: true}, func(e *trackway.Event) bool {
		if since != 0 && e.Received < since || since == 0 && (last == 0 || looked == lookBack) {
			return false
		}
		looked++
		seq = e.Seq - 1
		var is bool
		if is, _, failed = t.admits(e); is {
			last--
		}
		return failed == nil && t.r.Context().Err() == nil
	})
	if failed != nil {
		err = failed
	}
	return seq, err
}

// admits reports whether an event is watched, and returns the customer that has
// it now.
func (t *tail) admits(e *trackway.Event) (bool, *trackway.Profile, error) {
	if e.Project != t.project.Number || len(t.types) > 0 && !slices.Contains(t.types, e.Type) {
		return false, nil, nil
	}
	c, ids, err := t.Log.Current(e.Project, e.Customer)
	if err != nil || t.of.Name != "" && !slices.Contains(ids, t.of) {
		return false, nil, err
	}
	return true, &trackway.Profile{Customer: c, IDs: ids}, nil
}

// pass writes those changes that are watched.
func (t *tail) pass(changes []change.Change) error {
	for i := range changes {
		e := changes[i].Event
		if e == nil {
			continue
		}
		is, of, err := t.admits(e)
		if is {
			err = t.table.Event(of, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
