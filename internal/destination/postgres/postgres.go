// Package postgres writes changes into tables of a PostgreSQL database, version
// 13 or newer, exactly once. One transaction holds the rows of a batch and the
// position after them. If an answer is lost, the position says whether the
// batch was written. docs/destinations-postgres.md is for users.
//
// A transaction begins with an advisory lock on the schema, so there is only
// one writer at a time. When a sink writes for the first time, it puts its mark
// into the row of the position. If it later finds another mark there, another
// sink has replaced it, and it stops until it is resumed. Reading, checking and
// mending need no mark.
//
// COPY cannot skip duplicates. So events first go into a temporary table by
// COPY, and from there into the table events, where they replace older forms.
// If the table has nothing of the batch's range yet, which is the usual case,
// COPY goes into the table itself. The lock makes that safe.
package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/column"
)

// The timeouts. The server's own timeouts are shorter than the time for a whole
// call, so that the server reports what took so long.
const (
	connectTimeout   = 15 * time.Second // unless the URL says something else
	statementTimeout = "240s"
	lockTimeout      = "30s"
	callTimeout      = 5 * time.Minute
	closeTimeout     = 5 * time.Second
	idleTime         = 30 * time.Second // idle time after which a connection is tested before use
)

// DefaultSchema is the schema if the configuration names none.
const DefaultSchema = "public"

// driversTimeout is the timeout of pgx if the URL has no connect_timeout.
const driversTimeout = 2 * time.Minute

// oldest is the server_version_num of the oldest supported version.
const oldest = 130000

// mostColumns is the maximum number of declared columns. A row of PostgreSQL
// must fit into 8 KiB, not counting values that are stored elsewhere.
const mostColumns = 250

// taken lists the names of columns that the views, or all tables of PostgreSQL,
// have.
var taken = []string{"person", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}

// errUndo makes [Sink.transaction] undo what was done, without returning an
// error.
var errUndo = errors.New("undo")

var errSlow = fmt.Errorf("no answer within %v", callTimeout)

// Sink implements [destination.Sink], [destination.Reader] and
// [destination.Describer].
type Sink struct {
	name    string // of the destination
	called  string // the same, with the partition
	schema  string
	config  *pgx.ConnConfig
	columns *column.Set
	misfits column.Misfits
	writer  string // the mark of this sink; no other sink has it
	writes  bool   // this sink has put its mark into the position

	conn *pgx.Conn // nil: not connected
	used time.Time // when the connection was last used with success
}

// New checks the settings of a destination and returns its sink. It opens
// nothing. In addition to the URL, a destination of the operator uses the
// environment variables and files of psql (PGSSLROOTCERT, .pgpass and so on).
func New(d config.Destination) (*Sink, error) {
	set, err := column.NewSet(d.Columns)
	if err != nil {
		return nil, err
	}
	if len(set.Columns) > mostColumns {
		return nil, fmt.Errorf("%d columns are declared, but a table of PostgreSQL has room for %d: all properties are in the column properties anyway", len(set.Columns), mostColumns)
	}
	for _, c := range set.Columns {
		if len(c.Name) > longest || strings.Contains(c.Name, "\x00") {
			return nil, fmt.Errorf("column %q: a name has at most %d bytes in PostgreSQL: give it a shorter name", c.Name, longest)
		}
		if slices.Contains(taken, c.Name) {
			return nil, fmt.Errorf("column %q has the name of a column of PostgreSQL, or of the view events_by_person: give it another name", c.Name)
		}
	}
	for _, t := range set.Types() {
		if strings.Contains(t, "\x00") {
			return nil, fmt.Errorf("type %q contains U+0000, which PostgreSQL cannot hold", t)
		}
	}
	schema := d.Prefix
	switch {
	case schema == "":
		schema = DefaultSchema
	case len(schema) > longest || strings.Contains(schema, "\x00"):
		return nil, fmt.Errorf("prefix: the name of a schema has at most %d bytes", longest)
	case strings.HasPrefix(schema, "pg_"):
		return nil, errors.New("prefix: names of schemas that start with pg_ belong to PostgreSQL")
	}
	if d.URL == "" {
		return nil, errors.New("url is missing: postgres://USER:PASSWORD@HOST:PORT/DATABASE")
	}
	conn, err := settings(&d)
	if err != nil {
		return nil, err
	}
	return &Sink{name: d.Name, called: d.Called(), schema: schema, config: conn, columns: set, writer: newMark()}, nil
}

// settings returns how to connect to a destination.
func settings(d *config.Destination) (conn *pgx.ConnConfig, err error) {
	where := d.URL
	if d.Managed {
		if where, err = alone(d.URL); err != nil {
			return nil, err
		}
	}
	conn, err = pgx.ParseConfig(where)
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("url: it names a file that cannot be read: %w", file)
	} else if err != nil { // it may contain the password
		return nil, errors.New("url is not a PostgreSQL URL: write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of the password percent-encoded, or host=… user=… password=… dbname=…")
	}
	// Without prepared statements and their cache, a pooler such as PgBouncer
	// can be in between, and a table may change while we are connected.
	conn.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	conn.StatementCacheCapacity, conn.DescriptionCacheCapacity = 0, 0
	if conn.ConnectTimeout == driversTimeout {
		conn.ConnectTimeout = connectTimeout
	}
	if d.Managed { // the server would refuse an empty time zone
		maps.DeleteFunc(conn.RuntimeParams, func(_, value string) bool { return value == "" })
	}
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "trackway"
	}
	return conn, nil
}

func newMark() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// Misfits implements [destination.MisfitCounter].
func (s *Sink) Misfits() []destination.Misfit { return s.misfits.All() }

// Close implements [destination.Sink].
func (s *Sink) Close() error {
	s.disconnect(context.Background())
	return nil
}

// disconnect closes the connection, even if ctx has ended. A transaction that
// is open has no effect then.
func (s *Sink) disconnect(ctx context.Context) {
	if s.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_ = s.conn.Close(ctx) // there is nothing that it could lose
	select {
	case <-s.conn.PgConn().CleanupDone():
	case <-ctx.Done():
	}
	s.conn = nil
}

// connect connects if there is no connection. It first tests a connection that
// has been idle for a while, because servers and firewalls close such
// connections.
func (s *Sink) connect(ctx context.Context) error {
	if s.conn != nil && time.Since(s.used) > idleTime && s.conn.Ping(ctx) != nil {
		s.disconnect(ctx)
	}
	if s.conn != nil && !s.conn.IsClosed() {
		return nil
	}
	s.disconnect(ctx)
	conn, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return clean(ctx, "connect to PostgreSQL", err)
	}
	s.conn = conn
	return nil
}

// transaction runs do in a transaction and commits it. After an error, it
// closes the connection, which undoes everything. After errUndo, it undoes the
// transaction and returns no error. doing says what the transaction is for. If
// only the answer to COMMIT was lost, the transaction was carried out in spite
// of the error.
func (s *Sink) transaction(ctx context.Context, doing string, do func(ctx context.Context) error) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errSlow)
	defer cancel()
	if err := s.connect(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = clean(ctx, doing, err)
			s.disconnect(ctx)
		}
	}()
	if err := s.begin(ctx); err != nil {
		return err
	}
	end := "COMMIT"
	if err := do(ctx); errors.Is(err, errUndo) {
		end = "ROLLBACK"
	} else if err != nil {
		return err
	}
	tag, err := s.conn.Exec(ctx, end)
	if err != nil {
		return err
	}
	if tag.String() != end {
		return plain("%s: the server rolled the transaction back", doing)
	}
	s.used = time.Now()
	return nil
}

// begin begins a transaction and waits for the lock on the schema. Its settings
// end with the transaction, as poolers need. A commit must be on the server's
// disk, whatever the server's default is, because afterwards the store may
// forget the events.
func (s *Sink) begin(ctx context.Context) error {
	h := fnv.New64a()
	h.Write([]byte("trackway destination " + s.schema))
	_, err := s.conn.Exec(ctx, fmt.Sprintf(`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL statement_timeout = '%s';
SET LOCAL lock_timeout = '%s';
SET LOCAL client_min_messages = error;
SET LOCAL TimeZone = 'UTC';
SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';
SELECT pg_advisory_xact_lock(%d)`, statementTimeout, lockTimeout, int64(h.Sum64())))
	return err
}

// Prepare implements [destination.Sink].
func (s *Sink) Prepare(ctx context.Context) (destination.Position, error) {
	var at record
	err := s.transaction(ctx, "prepare the tables", func(ctx context.Context) error {
		if _, err := s.arrange(ctx, false); err != nil {
			return err
		}
		var err error
		at, err = s.recorded(ctx)
		return err
	})
	if err != nil {
		return destination.Position{}, err
	}
	return destination.Position{Store: at.store, Number: at.number}, nil
}

// record is the row of the table trackway_position. The zero value says that
// there is no row yet.
type record struct {
	store  string
	number uint64
	writer string
}

// recorded reads the position. It returns a final error if the schema belongs
// to another destination, which may use the same numbers for other events.
func (s *Sink) recorded(ctx context.Context) (record, error) {
	rows, err := s.conn.Query(ctx, "SELECT destination, store, number, coalesce(writer, '') FROM "+s.in(positions))
	if err != nil {
		return record{}, err
	}
	var at record
	var other string
	var name string
	var r record
	_, err = pgx.ForEachRow(rows, []any{&name, &r.store, &r.number, &r.writer}, func() error {
		if name == s.name {
			at = r
		} else {
			other = name
		}
		return nil
	})
	if err == nil && other != "" {
		err = final("the schema %s has the tables of the destination %q: give this one another schema (prefix). If you have renamed the destination, run UPDATE %s SET destination = %s",
			quote(s.schema), other, s.in(positions), literal(s.name))
	}
	return at, err
}

// replaced returns a final error if this sink has written before, and another
// sink has written since. Once the operator has resumed this sink, it takes
// over.
func (s *Sink) replaced(at record) error {
	if s.writes && at.writer != s.writer {
		s.writes = false
		return &destination.FinalError{
			Taken: true, Err: errors.New("another Trackway has begun to write to this destination: stop one of the two, and then resume"),
		}
	}
	return nil
}

// Rewind implements [destination.Sink]. It also creates missing tables, because
// the rows of a dropped table are written again.
//
// After a restore from a backup, another store continues, with other changes
// after that position. The rows of customers that the old changes wrote have
// higher numbers than the new changes. They would stay in force, although the
// same customer number may now mean another person. So Rewind removes them.
func (s *Sink) Rewind(ctx context.Context, to destination.Position) error {
	return s.transaction(ctx, "rewind", func(ctx context.Context) error {
		if _, err := s.arrange(ctx, true); err != nil {
			return err
		}
		at, err := s.recorded(ctx)
		if err != nil {
			return err
		}
		if at.store != "" && at.store != to.Store {
			for _, table := range []string{customers, ids, merges} {
				if _, err := s.conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE changed > $1", s.in(table)), to.Number); err != nil {
					return err
				}
			}
		}
		_, err = s.conn.Exec(ctx, fmt.Sprintf(`INSERT INTO %s AS p (destination, store, number) VALUES ($1, $2, $3)
ON CONFLICT (destination) DO UPDATE SET store = excluded.store, number = excluded.number`, s.in(positions)), s.name, to.Store, to.Number)
		return err
	})
}

// checkSeq is the sequence number of the row that Check writes. The log never
// uses this number.
const checkSeq = -1

// Check implements [destination.Sink]. If tables are missing, it creates them
// only for the check.
func (s *Sink) Check(ctx context.Context) error {
	return s.transaction(ctx, "check", func(ctx context.Context) error {
		created, err := s.arrange(ctx, true)
		if err != nil {
			return err
		}
		if _, err := s.recorded(ctx); err != nil {
			return err
		}
		if err := s.writeAndRead(ctx); err != nil {
			return err
		}
		if created {
			return errUndo
		}
		return nil
	})
}

func (s *Sink) writeAndRead(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, fmt.Sprintf(`INSERT INTO %s (seq, project, customer, type, at, received_at, properties)
VALUES ($1, '', 0, 'check', 'epoch', 'epoch', '{"check": true}') ON CONFLICT (seq) DO NOTHING`, s.in(events)), checkSeq)
	if err != nil {
		return err
	}
	var typ string
	err = s.conn.QueryRow(ctx, fmt.Sprintf("SELECT type FROM %s WHERE seq = $1", s.in(events)), checkSeq).Scan(&typ)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && typ != "check" {
		return plain("check: the row that was written to %s cannot be found: does a trigger or a policy hide it?", s.in(events))
	}
	if err != nil {
		return err
	}
	_, err = s.conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE seq = $1", s.in(events)), checkSeq)
	return err
}
