// Package clickhouse writes batches into ClickHouse over its HTTP interface.
//
// ClickHouse has no transactions, so a batch is several inserts, and the
// position is the last of them. Three things together make each event be there
// once:
//
//   - An insert has rows of one month, which is one partition, and so is one
//     block that ClickHouse stores as a whole or not at all. Its token is a hash
//     of its rows: if the answer was lost, the same insert again changes nothing.
//   - After a crash between the data and the position, the same events may come
//     in other batches. The sink then asks which of them are there, and leaves
//     them out, unless an erasure has taken something from them since.
//   - Rows with the same sorting key replace each other when ClickHouse merges
//     them, and at once in each query with FINAL. The sorting key ends in the
//     event's number. This holds whatever else goes wrong.
//
// Customers and their identifiers are rows with the number of the change: the
// highest is in force. The views in [Sink.DDL] say so.
package clickhouse

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"trackway/internal/canonjson"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/column"
)

// DefaultDatabase is the database if the configuration names none.
const DefaultDatabase = "trackway"

// errAnswer means that an answer does not have the expected form.
var errAnswer = errors.New("the answer is not from ClickHouse: is the address right?")

// Sink is a destination in ClickHouse. Create it with [New].
type Sink struct {
	name, database string
	owner          string // of the position: random, so that two processes have different owners
	client         *client
	declared       *column.Set
	tables         []table
	views          []view
	keys           []string // of the declared columns in a row: `,"total":`
	zstd           *zstd.Encoder
	misfits        column.Misfits

	claimed bool   // the position has named us as its owner
	highest uint64 // events with higher numbers are not in the database
}

// New checks the destination's settings. It opens nothing.
func New(d config.Destination) (*Sink, error) {
	u, err := url.Parse(d.URL)
	switch {
	case err != nil: // the error would contain the URL
		return nil, errors.New("the url is not valid")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("the url must be http://HOST:8123 or https://HOST:8443")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the url must not have parameters: prefix names the database")
	}
	user, password := d.User, d.Password
	if u.User != nil {
		user = u.User.Username()
		password, _ = u.User.Password()
	}
	declared, err := column.NewSet(d.Columns)
	if err != nil {
		return nil, err
	}
	declared.Holds = holds
	database := d.Prefix
	if database == "" {
		database = DefaultDatabase
	}
	s := &Sink{
		name: d.Name, database: database, owner: rand.Text(), client: newClient(u, user, password),
		declared: declared, tables: tables(declared), views: views(database, declared),
	}
	for _, c := range declared.Columns {
		if slices.ContainsFunc(s.tables[0].columns[:len(s.tables[0].columns)-len(declared.Columns)], func(own definition) bool { return strings.EqualFold(own.name, c.Name) }) ||
			strings.EqualFold(c.Name, "person") { // of the view events_by_person
			return nil, fmt.Errorf("column %q has the name of one of Trackway's own columns: give it another name", c.Name)
		}
		s.keys = append(s.keys, ","+string(canonjson.AppendString(nil, c.Name))+":")
	}
	s.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithEncoderLevel(zstd.SpeedFastest))
	return s, err
}

// The times that ClickHouse's types with microseconds or days hold.
var (
	firstTime = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	endOfTime = time.Date(2299, 1, 1, 0, 0, 0, 0, time.UTC)
)

// holds reports whether ClickHouse's type holds a value.
func holds(_ column.Column, v column.Value) bool {
	switch v.Kind {
	case column.Timestamp:
		return firstTime.UnixMicro() <= v.Int && v.Int < endOfTime.UnixMicro()
	case column.Date:
		const day = 24 * 60 * 60
		return firstTime.Unix()/day <= v.Int && v.Int < endOfTime.Unix()/day
	default:
		return true
	}
}

// Prepare creates the database, the tables and the views if they are missing,
// and returns the position.
func (s *Sink) Prepare(ctx context.Context) (destination.Position, error) {
	// A request that an earlier process sent may still be running. Its effect
	// must be visible to the queries below.
	err := s.client.rows(ctx, "log in", "SELECT 1", settings{"query_id": s.queryID()}, func([]byte) error { return nil })
	if err != nil {
		return destination.Position{}, err
	}
	have, err := s.look(ctx)
	if err != nil {
		return destination.Position{}, err
	}
	var p position
	if have[positionTable] != nil {
		if p, err = s.readPosition(ctx); err != nil {
			return destination.Position{}, err
		}
	}
	if gone := s.gone(have); p.Number > 0 && gone != "" {
		return destination.Position{}, &destination.FinalError{Err: fmt.Errorf("table %s.%s is gone, though the position is %d: restore it, or rewind the destination to the beginning", s.database, gone, p.Number)}
	}
	if err := s.create(ctx, have); err != nil {
		return destination.Position{}, err
	}
	if err := s.findHighest(ctx, p); err != nil {
		return destination.Position{}, err
	}
	return destination.Position{Store: p.Store, Number: p.Number}, nil
}

// queryID is the id of all requests that write, because ClickHouse runs only
// one request with an id at a time.
func (s *Sink) queryID() string { return "trackway/" + s.database + "/" + s.name }

// gone returns the name of a table that the database lacks, or an empty text.
func (s *Sink) gone(have map[string]*found) string {
	for _, t := range s.tables {
		if have[t.name] == nil {
			return t.name
		}
	}
	return ""
}

// findHighest finds the number above which no event is in the database. After a
// crash or a rewind, there are events above the position.
func (s *Sink) findHighest(ctx context.Context, p position) error {
	s.highest = p.Number
	return s.client.rows(ctx, "read the highest number", "SELECT max(seq) FROM "+s.in("events")+" WHERE seq > "+strconv.FormatUint(p.Number, 10), nil,
		func(line []byte) error {
			n, err := strconv.ParseUint(string(line), 10, 64)
			if err != nil {
				return errAnswer
			}
			s.highest = max(s.highest, n)
			return nil
		})
}

// Write writes a batch: first the rows, and then the position. It returns no
// rejects, because the tables can hold every event and customer.
func (s *Sink) Write(ctx context.Context, b *destination.Batch) ([]destination.Reject, error) {
	p, err := s.claim(ctx, b)
	if err != nil {
		return nil, err
	}
	w := &write{Sink: s, batch: b, position: p}
	if err := w.events(ctx); err != nil {
		return nil, err
	}
	if err := w.rewrite(ctx, b.Rewritten, math.MaxUint64); err != nil {
		return nil, err
	}
	if err := w.customers(ctx); err != nil {
		return nil, err
	}
	if err := w.erasures(ctx); err != nil {
		return nil, err
	}
	if b.Through > p.Number {
		p.Number, p.Changed = b.Through, p.Changed+1
		if err := s.writePosition(ctx, p); err != nil {
			return nil, err
		}
	}
	s.misfits.Take(&w.misfits)
	return nil, nil
}

// Misfits returns how many values did not fit into their columns.
func (s *Sink) Misfits() []destination.Misfit { return s.misfits.All() }

// Check writes a row, reads it back and removes it. It uses the table of
// positions or, if that does not exist yet, a table that it creates and drops.
// If the database does not exist, Check only logs in.
func (s *Sink) Check(ctx context.Context) error {
	have, err := s.look(ctx)
	if err != nil {
		return err
	}
	exists, err := s.databaseExists(ctx)
	if err != nil || !exists {
		return err
	}
	if have[positionTable] != nil {
		if _, err := s.readPosition(ctx); err != nil {
			return err
		}
		return s.checkRow(ctx, positionTable)
	}
	t := s.tables[len(s.tables)-1] // the table of positions
	t.name = "trackway_check"
	if err := s.client.exec(ctx, "create a table", t.create(s.database), nil); err != nil {
		return err
	}
	err = s.checkRow(ctx, t.name)
	return errors.Join(err, s.client.exec(ctx, "drop a table", "DROP TABLE IF EXISTS "+s.in(t.name)+" SYNC", nil))
}

func (s *Sink) checkRow(ctx context.Context, table string) error {
	key := "check " + rand.Text()
	b := s.newBody(table, "", 0)
	b.line = append(b.line, `{"destination":"`+key+`"}`+"\n"...)
	b.endRow()
	if err := s.insert(ctx, b); err != nil {
		return err
	}
	where := "destination = " + literal(key)
	n, err := s.count(ctx, table, where)
	if err == nil && n != 1 {
		err = fmt.Errorf("one row was written to %s, but it has %d", table, n)
	}
	return errors.Join(err, s.remove(ctx, table, where))
}

// Close releases the connection.
func (s *Sink) Close() error {
	s.client.http.CloseIdleConnections()
	return nil
}
