// Package object writes the changes of a store into objects: the files of a
// folder, or the objects of a bucket. The packages `file` and `s3` provide the
// [Bucket]; all the rest is here.
//
// # Objects
//
// A table is a folder with parts: events by the day on which they arrived,
// other tables by number. In a part, rows are in objects of up to 16 MiB of
// rows (see `full`). An object's name has the range of numbers that it may
// hold: `events/dt=2026-11-29/seq=1-500.parquet`, with leading zeros.
//
// A large batch makes objects of its own. A small one is added to the part's
// last object if that has room. So there are neither tiny objects nor a later
// merge of them: a merge moves rows from one name to another, and a reader of
// all names would see rows twice or not at all while it runs. A row stays under
// the name that it got first, and each write of an object is atomic.
//
// # Exactly once
//
// A write has four steps: the state `trackway.json` announces the objects
// (`pending`), the objects follow, then the manifests of their parts, then the
// state with the new position. If a step fails, or the process dies, the next
// Prepare takes back what was announced: new objects become empty, grown ones
// lose what was added. The engine then sends the same changes, perhaps in other
// batches. Whatever a reader uses, manifests or all names, it never sees a row
// twice, and sees all rows up to the position.
//
// # Two writers
//
// With [Options.Late], a request of this process, or of one that was replaced,
// may still take effect at any later time. Each write therefore names the
// content that it expects ([Bucket]). Prepare gives each announced object, its
// manifest and the state a content that a late request does not expect. This is
// why it leaves empty objects rather than none, and why each content has a mark
// that makes it unique.
package object

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/column"
)

// full is how many bytes of rows an object may have before compression. A batch
// has at most as much. A write keeps one object in memory.
const full = 16 << 20

// reserve is how many numbers the name of an object covers if the object may
// grow.
const reserve = 1_000_000

// Options describe the bucket.
type Options struct {
	// Store is the id of the store that sends changes. If the place belongs to
	// another store, it is left alone until a Rewind: a server that was
	// restored from a backup for a test must not stop the one at work. If Store
	// is empty, each place is taken over.
	Store string

	// Late says that a write may take effect after it has failed, and that
	// another process may write at the same time. Without Late, the caller must
	// make sure that only one process writes, and that it has ended before the
	// next one begins.
	Late bool

	// Compress says that NDJSON is compressed with zstd.
	Compress bool

	// Place is the bucket's address for DuckDB: "/data/out" or
	// "s3://lake/trackway", without a slash at the end.
	Place string

	// Setup is SQL statements that DuckDB needs first, with comments.
	Setup string
}

// Sink implements [destination.Sink], [destination.Reader],
// [destination.Describer] and [destination.MisfitCounter] on a bucket. After an
// error it needs Prepare.
type Sink struct {
	bucket     Bucket
	o          Options
	name       string
	formatName string
	format     format
	tables     [tables]*table
	writer     string
	misfits    column.Misfits

	// The content of the bucket, as this sink has read or written it. state is
	// nil before Prepare and after an error.
	state     *state
	tag       string
	manifests map[string]*manifest
	digests   map[string]hash.Hash // of objects that grow in place, by name
	seen      []source             // what a verification that began at seenLow has listed
	seenLow   uint64

	progress progress
	taken    bool // this sink has taken the place over
}

// New checks the settings and opens nothing.
func New(d config.Destination, bucket Bucket, o Options) (*Sink, error) {
	s := &Sink{bucket: bucket, o: o, name: d.Name, formatName: d.Format, writer: newMark()}
	switch d.Format {
	case "", "ndjson":
		s.formatName, s.format = "ndjson", ndjson{compressed: o.Compress}
	case "parquet":
		s.format = columnar{}
	default:
		return nil, fmt.Errorf("format: must be ndjson or parquet, not %q", d.Format)
	}
	columns, err := column.NewSet(d.Columns)
	if err != nil {
		return nil, err
	}
	s.tables = newTables(columns)
	for _, c := range columns.Columns {
		if strings.EqualFold(c.Name, folderColumn) {
			return nil, fmt.Errorf("column %q has the name of a column that readers make of the folders: give it another name", c.Name)
		}
		s.tables[events].wide += s.format.width(c.Name)
	}
	s.forget()
	return s, nil
}

// forget drops everything that is known about the bucket, so that it is read
// again.
func (s *Sink) forget() {
	s.state, s.tag, s.seen = nil, "", nil
	s.manifests = map[string]*manifest{}
	s.digests = map[string]hash.Hash{}
}

// table returns a table by its name, or nil.
func (s *Sink) table(name string) *table {
	for _, t := range s.tables {
		if t.name == name {
			return t
		}
	}
	return nil
}

// guard is called with the error of each call. After an error, all calls fail
// until Prepare.
func (s *Sink) guard(err error) error {
	if err != nil {
		s.forget()
	}
	return err
}

// Prepare takes the place over, and undoes what a crash left unfinished.
func (s *Sink) Prepare(ctx context.Context) (destination.Position, error) {
	s.forget()
	err := s.guard(s.prepare(ctx))
	if errors.Is(err, ErrChanged) { // by a late request of a write that was stopped
		err = s.guard(s.prepare(ctx))
	}
	if err != nil {
		return destination.Position{}, err
	}
	return s.position(), nil
}

// position returns the position. It is the zero value until the first batch is
// written.
func (s *Sink) position() destination.Position {
	if s.state.Store == "" {
		return destination.Position{}
	}
	return destination.Position{Store: s.state.Store, Number: s.state.Number}
}

func (s *Sink) prepare(ctx context.Context) error {
	st, tag, err := s.load(ctx)
	if err != nil {
		return err
	}
	if st == nil {
		return s.begin(ctx)
	}
	if st.Store == "" { // a crash may have come between
		if err := s.seed(ctx); err != nil {
			return err
		}
	}
	mine := st.Writer == s.writer
	if s.taken && !mine {
		s.taken = false // once an operator has acted, this sink may take over again
		return &destination.FinalError{
			Taken: true, Err: errors.New("another process writes into this place: make sure that only one has this destination, and resume it"),
		}
	}
	s.state, s.tag = st, tag
	if s.visits() || mine && len(st.Pending) == 0 && !st.Cutting {
		return nil
	}
	return s.claim(ctx)
}

// visits reports whether the place belongs to another store.
func (s *Sink) visits() bool {
	return s.o.Store != "" && s.state.Store != "" && s.state.Store != s.o.Store
}

// claim takes the place over, and undoes what is unfinished.
func (s *Sink) claim(ctx context.Context) error {
	if err := s.save(ctx, func(st *state) { st.Writer = s.writer }); err != nil {
		return err
	}
	s.taken = true
	if err := s.recover(ctx); err != nil {
		return err
	}
	if s.state.Cutting {
		return s.cut(ctx)
	}
	return nil
}

// begin makes an empty place the destination's own.
func (s *Sink) begin(ctx context.Context) error {
	if err := s.empty(ctx); err != nil {
		return err
	}
	if s.o.Late { // all rests on conditions
		if err := s.Check(ctx); err != nil {
			return err
		}
	}
	s.state = &state{Version: version, Destination: s.name, Format: s.formatName}
	err := s.save(ctx, func(st *state) { st.Writer = s.writer })
	s.taken = err == nil
	if err != nil {
		return err
	}
	return s.seed(ctx)
}

// seed writes an object without rows for each table, because readers such as
// DuckDB fail if a name with stars matches nothing.
func (s *Sink) seed(ctx context.Context) error {
	for _, t := range s.tables {
		out, err := s.maker(t, nil).finish()
		if err != nil {
			return err
		}
		name := s.seedName(t)
		if _, err := s.bucket.Create(ctx, name, out.data); err != nil && !errors.Is(err, errExist) {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

func (s *Sink) seedName(t *table) string {
	part := "part=000000"
	if t == s.tables[events] {
		part = dayOf(0)
	}
	return fmt.Sprintf("%s/%s/seq=%020d-%020d%s", t.name, part, 0, 0, s.format.ending())
}

// folders are the names that this package gives, up to the first slash.
func (s *Sink) folders() []string {
	all := []string{"manifests/"}
	for _, t := range s.tables {
		all = append(all, t.name+"/")
	}
	return all
}

// empty returns an error if there is anything that looks like part of a
// destination.
func (s *Sink) empty(ctx context.Context) error {
	for _, folder := range s.folders() {
		found := ""
		err := s.bucket.List(ctx, folder, func(name string) bool {
			found = name
			return false
		})
		if err != nil {
			return fmt.Errorf("list %s: %w", folder, err)
		}
		if found != "" {
			return final("there is %s, but no %s, so this place does not belong to the destination. Use another place", found, stateName)
		}
	}
	return nil
}

// Check writes an object, reads it back, and removes it. If other processes may
// write, it also checks that the bucket obeys conditions, because everything
// else depends on that.
func (s *Sink) Check(ctx context.Context) error {
	name := checkFolder + newMark() + ".json"
	err := s.check(ctx, name)
	// If ctx has ended, the object stays until the next check.
	return errors.Join(err, s.bucket.Delete(ctx, name))
}

const checkFolder = "check/"

func (s *Sink) check(ctx context.Context, name string) error {
	if err := s.removeAll(ctx, checkFolder); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	data := []byte(`{"check":"` + newMark() + `"}`)
	tag, err := s.bucket.Create(ctx, name, data)
	if err != nil {
		return fmt.Errorf("check: write an object: %w", err)
	}
	got, readTag, err := s.bucket.Get(ctx, name)
	if err != nil {
		return fmt.Errorf("check: read an object: %w", err)
	}
	if !slices.Equal(got, data) || readTag != tag {
		return errors.New("check: an object is not as it was written")
	}
	if !s.o.Late {
		return nil
	}
	if _, err := s.bucket.Create(ctx, name, data); !errors.Is(err, errExist) {
		return unconditional(err, "If-None-Match: *")
	}
	changed, err := s.bucket.Replace(ctx, name, tag, []byte(`{"check":"`+newMark()+`"}`))
	if err != nil {
		return fmt.Errorf("check: replace an object: %w", err)
	}
	if _, err := s.bucket.Replace(ctx, name, tag, data); changed == tag || !errors.Is(err, ErrChanged) {
		return unconditional(err, "If-Match")
	}
	return nil
}

func unconditional(err error, condition string) error {
	if err != nil {
		return fmt.Errorf("check: a write with the condition %s: %w", condition, err)
	}
	return final("the server ignores conditions on writes (%s), so two processes could overwrite each other's objects: it cannot be a destination", condition)
}

// removeAll removes all objects below a folder.
func (s *Sink) removeAll(ctx context.Context, folder string) error {
	var names []string
	err := s.bucket.List(ctx, folder, func(name string) bool {
		names = append(names, name)
		return true
	})
	for _, name := range names {
		if err == nil {
			err = s.bucket.Delete(ctx, name)
		}
	}
	return err
}

// Misfits counts the values that did not fit into a declared column.
func (s *Sink) Misfits() []destination.Misfit {
	return s.misfits.All()
}

// Close has nothing to release.
func (s *Sink) Close() error { return nil }
