// Package feed sends files of commands, or of rows that become commands, to a
// server's import. It notes how far the server has acknowledged a file, so that
// an interrupted import continues there. It then sends the batches that were
// under way a second time, which does no harm to events that have a time. The
// package knows the form of rows; the server decides what commands may contain.
package feed

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"trackway/internal/control"
)

// The formats of files.
const (
	NDJSON = "ndjson"
	CSV    = "csv"
)

// Post sends a batch of commands, as a body of the given length in bytes, to
// the import of a project. It returns the body of the answer once the server
// has stored the batch.
type Post func(ctx context.Context, body io.Reader, length int64) (io.ReadCloser, error)

// Options says how to import files.
type Options struct {
	Post     Post
	Store    string // name of the target store; the state of an import into another store is not used
	Project  string // as the user names it
	Format   string // empty: by the file's name
	From     string // vendor that exported the file, as Post was told; empty: each row is a command, or becomes one
	Mapping  Mapping
	StateDir string // directory for the state and the rejects; empty: beside each file
	Again    bool   // start from the beginning, whatever was imported before
	Stdin    io.Reader
	Report   func(Status) // called after each batch; may be nil
}

// Totals counts rows by their outcome.
type Totals struct {
	Lines      int64 `json:"lines"` // rows of the file that were acknowledged
	Stored     int64 `json:"stored"`
	Duplicates int64 `json:"duplicates"`
	Updates    int64 `json:"updates"`
	Refused    int64 `json:"refused"`
	LeftOut    int64 `json:"left_out"` // identifiers in the rows that name nobody
}

// Rows returns the number of rows.
func (t Totals) Rows() int64 { return t.Stored + t.Duplicates + t.Updates + t.Refused }

// Status is the progress in a file.
type Status struct {
	Totals Totals
	Read   int64 // bytes of the file as stored on the disk
	Size   int64 // 0 if it is not known
}

// Result is the outcome for a file.
type Result struct {
	Totals  Totals
	Resumed int64    // the line after which the import continued; 0: it began at the beginning
	Before  bool     // the file had already been imported in full, so nothing was done
	Rejects string   // file with the refused rows; empty: there is no such file
	Unused  []string // columns that became nothing
}

// saveEvery is how often the state is saved. Rows that are acknowledged after
// the last save are sent again after a crash.
const saveEvery = time.Second

// File imports one file. When ctx ends, File sends no more, waits for the
// answers to what it has sent, and returns the cause.
func File(ctx context.Context, path string, o Options) (Result, error) {
	r, err := begin(path, o)
	if err != nil || r.state.Done {
		return Result{Totals: r.state.Totals, Before: r.state.Done, Rejects: r.rejectsPath()}, err
	}
	resumed := r.state.Totals.Lines
	err = errors.Join(r.run(ctx), r.in.Close(), r.rejects.close())
	return Result{Totals: r.state.Totals, Resumed: resumed, Rejects: r.rejectsPath(), Unused: r.unused}, err
}

// Check opens a file as [File] does, and reads just enough of it to tell
// whether it has the form that o says. It creates nothing.
func Check(path string, o Options) error {
	if path == Stdin {
		return nil
	}
	r := &run{Options: o, path: path}
	if err := r.openRecords(); err != nil {
		return err
	}
	return r.in.Close()
}

// Forget removes the states of files that were imported in full. The list may
// name a file twice.
func Forget(paths []string, o Options) error {
	var all error
	for _, path := range paths {
		if path == Stdin {
			continue
		}
		if err := os.Remove(o.beside(path, stateSuffix)); !errors.Is(err, fs.ErrNotExist) {
			all = errors.Join(all, err)
		}
	}
	return all
}

// The suffixes of the files that an import leaves behind, appended to the name
// of the imported file.
const (
	stateSuffix   = ".import.json"
	rejectsSuffix = ".rejects.ndjson"
)

// beside returns the name of a file that belongs to another file. In a common
// directory for states, the name distinguishes files of the same name.
func (o *Options) beside(path, suffix string) string {
	switch {
	case path == Stdin:
		path = filepath.Join(o.StateDir, "stdin")
	case o.StateDir != "":
		whole, err := filepath.Abs(path)
		if err != nil { // the working directory is gone
			whole = path
		}
		const enough = 4 // bytes of the digest
		sum := sha256.Sum256([]byte(whole))
		path = filepath.Join(o.StateDir, fmt.Sprintf("%s.%x", filepath.Base(path), sum[:enough]))
	}
	return path + suffix
}

// run is the import of one file.
type run struct {
	Options

	path    string
	size    int64
	taken   atomic.Int64 // bytes read
	in      *input
	records records
	rejects *rejects
	state   state
	unused  []string
	saved   time.Time
}

func (r *run) rejectsPath() string {
	if r.state.Rejects == 0 {
		return ""
	}
	return r.beside(r.path, rejectsSuffix)
}

// begin finds out where to start, and opens what is needed.
func begin(path string, o Options) (r *run, err error) {
	r = &run{Options: o, path: path}
	if o.StateDir != "" {
		const private = 0o700
		if err := os.MkdirAll(o.StateDir, private); err != nil {
			return r, err
		}
	}
	begun := state{Store: o.Store, Project: o.Project, Mapping: o.Mapping.sum(o.From)}
	if path != Stdin {
		if begun.File, err = identify(path); err != nil {
			return r, err
		}
		if r.state, err = loadState(o.beside(path, stateSuffix), begun, o.Again); err != nil || r.state.Done {
			return r, err
		}
	} else {
		r.state = begun
	}
	r.size = begun.File.Size
	if err := r.openRecords(); err != nil {
		return r, err
	}
	if r.rejects, err = openRejects(o.beside(path, rejectsSuffix), r.state.Rejects); err != nil {
		return r, errors.Join(err, r.in.Close())
	}
	return r, nil
}

// openRecords opens the file at the place where the import continues. It reads
// the header of a CSV file from the beginning.
func (r *run) openRecords() (err error) {
	format, delimiter := formatOf(r.path)
	if cmp.Or(r.Format, format) == CSV {
		return r.openSheet(cmp.Or(r.Mapping.Delimiter, delimiter))
	}
	if r.in, err = open(r.path, r.Stdin, r.state.Offset, &r.taken); err != nil {
		return err
	}
	r.records = &ndjson{
		lines: lines{in: r.in.Reader, number: r.state.Totals.Lines}, base: r.in.base, first: r.state.Offset == 0, what: r.what(),
	}
	return nil
}

// what returns the word for the content of a line.
func (r *run) what() string {
	if r.From != "" {
		return "an object"
	}
	return "a command"
}

func (r *run) openSheet(delimiter string) (err error) {
	if r.in, err = open(r.path, r.Stdin, 0, &r.taken); err != nil {
		return err
	}
	s := newSheet(r.in.Reader, delimiter)
	if err := s.open(&r.Mapping, r.From != ""); err != nil {
		return errors.Join(err, r.in.Close())
	}
	r.unused = s.unused()
	if r.state.Offset > 0 {
		if err := r.in.Close(); err != nil {
			return err
		}
		if r.in, err = open(r.path, r.Stdin, r.state.Offset, &r.taken); err != nil {
			return err
		}
		s.in, s.at, s.number = r.in.Reader, 0, r.state.Totals.Lines
	}
	s.base, r.records = r.in.base, s
	return nil
}

// run sends the rest of the file, and saves the state.
func (r *run) run(ctx context.Context) error {
	err := r.sendAll(ctx)
	if err == nil || r.state.Offset > 0 {
		err = cmp.Or(err, r.save(err == nil && ctx.Err() == nil))
	}
	if ctx.Err() != nil && (err == nil || errors.Is(err, errHeld)) {
		return context.Cause(ctx)
	}
	return err
}

// sendAll sends batches, and notes their outcomes, until there are no more or
// one fails. When ctx ends, it sends no more, and waits for the answers to
// those that it has sent.
func (r *run) sendAll(ctx context.Context) (end error) {
	going, halt := context.WithCancel(ctx)
	batches := make(chan *batch)
	go r.read(going, batches)
	f := flight{post: r.Post}
	defer func() {
		halt()
		f.sending.Wait()
		for r.path != Stdin && <-batches != nil { // until the reader has ended, which may be waiting for standard input
		}
	}()
	reading := batches // nil: there are no more batches, or no more may be sent
	for stopped := ctx.Done(); reading != nil || len(f.batches) > 0; {
		next := reading
		if len(f.batches) == inFlight {
			next = nil
		}
		select {
		case b, more := <-next:
			if !more {
				reading = nil
				break
			}
			end = b.end
			f.send(going, b)
		case <-f.answered():
			if err := r.acknowledge(f.batches[0]); err != nil {
				return err
			}
			f.batches[0].free()
			f.batches = f.batches[1:]
		case <-stopped:
			reading, stopped = nil, nil
		}
	}
	return end
}

// acknowledge notes the outcome of a batch.
func (r *run) acknowledge(b *batch) error {
	if b.err != nil {
		return b.err
	}
	t := r.state.Totals
	for i := range b.rows {
		o := &b.outcomes[i]
		t.LeftOut += o.LeftOut
		switch o.Status {
		case control.Stored:
			t.Stored++
		case control.Duplicate:
			t.Duplicates++
		case control.Updated:
			t.Updates++
		case control.Refused:
			t.Refused++
			if err := r.rejects.add(b.rows[i].reject(&o.Refusal)); err != nil {
				return err
			}
		}
	}
	last := &b.rows[len(b.rows)-1]
	t.Lines = last.last
	r.state.Totals, r.state.Offset, r.state.Rejects = t, last.end, r.rejects.size
	if r.Report != nil {
		r.Report(Status{t, r.taken.Load(), r.size})
	}
	if time.Since(r.saved) < saveEvery {
		return nil
	}
	return r.save(false)
}

// save saves the state, after the rejects that the state counts. Standard input
// has no state.
func (r *run) save(done bool) error {
	r.saved = time.Now()
	r.state.Done = done
	if err := r.rejects.sync(); err != nil || r.path == Stdin {
		return err
	}
	return r.state.save(r.beside(r.path, stateSuffix))
}
