package clickhouse

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/destination"
	"trackway/internal/destination/column"
)

// body holds the rows of one insert: lines of JSON, which are compressed as
// they are added. Only the compressed form is kept in memory.
type body struct {
	table string
	rows  int
	line  []byte // the row that is being made
	out   bytes.Buffer
	zstd  *zstd.Encoder
	hash  hash.Hash // hash of the rows, the store and everything else that makes inserts differ
}

// newBody begins the rows of an insert into a table. Its token depends on the
// store and on the number of rewinds: after a rewind, ClickHouse must not take
// rows that somebody has deleted for a repetition. The sink creates only one
// body at a time.
func (s *Sink) newBody(table, store string, rewinds uint64) *body {
	b := &body{table: table, hash: sha256.New(), zstd: s.zstd}
	io.WriteString(b.hash, table+"/"+store+"/"+strconv.FormatUint(rewinds, 10)+"\n") //nolint:errcheck // a hash takes everything
	b.zstd.Reset(&b.out)
	return b
}

// endRow adds the line, and begins the next one.
func (b *body) endRow() {
	b.rows++
	b.hash.Write(b.line)
	b.zstd.Write(b.line) //nolint:errcheck // a buffer takes everything
	b.line = b.line[:0]
}

// blockRows is more than the rows of any batch, so an insert is one block.
const blockRows = "10000000"

// insert sends the rows, if it has any. It returns after ClickHouse has
// stored them.
func (s *Sink) insert(ctx context.Context, b *body) error {
	if b.rows == 0 {
		return nil
	}
	if err := b.zstd.Close(); err != nil {
		return err
	}
	return s.client.insert(ctx, "insert into "+b.table, "INSERT INTO "+s.in(b.table)+" FORMAT JSONEachRow", settings{
		"query_id":                         s.queryID(),
		"insert_deduplicate":               "1",
		"insert_deduplication_token":       hex.EncodeToString(b.hash.Sum(nil)[:16]),
		"async_insert":                     "0",
		"max_insert_block_size":            blockRows,
		"min_insert_block_size_rows":       blockRows,
		"min_insert_block_size_bytes":      "1000000000",
		"input_format_parallel_parsing":    "0", // otherwise ClickHouse would divide the rows into blocks itself
		"input_format_skip_unknown_fields": "0", // a dropped column must cause an error, not a loss
		"input_format_null_as_default":     "0",
		"date_time_input_format":           "basic",
	}, b.out.Bytes())
}

// write is the writing of one batch.
type write struct {
	*Sink

	batch    *destination.Batch
	position position
	misfits  column.Misfits
	values   []column.Value
}

// events inserts the new events, month by month. It replaces stored events that
// now have another form: after a rewind, an event may come as an erasure has
// left it.
func (w *write) events(ctx context.Context) error {
	events := w.batch.Events
	there, err := w.there(ctx, events)
	if err != nil {
		return err
	}
	err = w.byMonth(ctx, events, func(e *destination.Event) (changed uint64, ok bool) {
		_, written := there[e.Seq]
		return 0, !written
	})
	if err != nil || len(there) == 0 {
		return err
	}
	old := make([]destination.Event, 0, len(there))
	for i := range events {
		if _, written := there[events[i].Seq]; written {
			old = append(old, events[i])
		}
	}
	return w.rewrite(ctx, old, w.batch.Through)
}

// byMonth inserts the events for which choose returns true, with their
// versions, month by month. A month is a partition, and an insert into one
// partition is atomic. Besides, ClickHouse refuses inserts into more than 100
// partitions.
func (w *write) byMonth(ctx context.Context, events []destination.Event, choose func(*destination.Event) (changed uint64, ok bool)) error {
	var months []int
	for i := range events {
		if m := month(events[i].At); !slices.Contains(months, m) {
			months = append(months, m)
		}
	}
	slices.Sort(months)
	for _, m := range months {
		b := w.newBody("events", w.position.Store, w.position.Rewinds)
		for i := range events {
			e := &events[i]
			if month(e.At) != m {
				continue
			}
			if changed, ok := choose(e); ok {
				w.appendEvent(b, e, changed)
			}
		}
		if err := w.insert(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// month returns the month of a time in UTC, as toYYYYMM does.
func month(at trackway.Micros) int {
	t := at.Time()
	return t.Year()*100 + int(t.Month())
}

// there returns which of the events are in the table. It asks ClickHouse only
// if there may be any: after a crash, a rewind or a repetition.
func (w *write) there(ctx context.Context, events []destination.Event) (map[uint64]struct{}, error) {
	n := len(events)
	if n == 0 {
		return nil, nil
	}
	highest := w.highest
	w.highest = max(highest, events[n-1].Seq) // also if the answer gets lost
	if events[0].Seq > highest {
		return nil, nil
	}
	there := make(map[uint64]struct{})
	keys := make([]uint64, n)
	for i := range events {
		keys[i] = events[i].Seq
	}
	for some := range slices.Chunk(keys, mostKeys) {
		err := w.pairs(ctx, "SELECT DISTINCT seq, 0 FROM "+w.in("events")+" WHERE seq IN ("+list(some)+")",
			func(seq, _ uint64) { there[seq] = struct{}{} })
		if err != nil {
			return nil, err
		}
	}
	return there, nil
}

// appendEvent adds an event. changed is its version.
func (w *write) appendEvent(b *body, e *destination.Event, changed uint64) {
	l := appendNumber(b.line, `{"seq":`, e.Seq)
	l = appendText(l, `,"project":`, e.Project)
	l = appendNumber(l, `,"customer":`, uint64(e.Customer))
	l = appendText(l, `,"type":`, e.Type)
	l = appendTime(l, `,"at":`, e.At)
	l = appendTime(l, `,"received_at":`, e.Received)
	l = appendText(l, `,"properties":`, string(e.Properties))
	l = appendNumber(l, `,"changed":`, changed)
	w.values = w.declared.Values(w.values, e.Type, e.Properties, &w.misfits)
	for i, v := range w.values {
		l = appendValue(l, w.keys[i], v)
	}
	b.line = append(l, "}\n"...)
	b.endRow()
}

// customers inserts customers, merges and identifiers. The identifiers come
// first. An identifier is in force as long as the customer's row is not newer,
// so an identifier that stays never seems to be gone.
func (w *write) customers(ctx context.Context) error {
	ids, rows := w.newBody("customer_ids", w.position.Store, w.position.Rewinds), w.batch.Customers
	for i := range rows {
		for _, id := range rows[i].IDs {
			l := appendNumber(ids.line, `{"customer":`, uint64(rows[i].Customer))
			l = appendText(l, `,"name":`, id.Name)
			l = appendText(l, `,"value":`, id.Value)
			l = appendNumber(l, `,"changed":`, rows[i].Changed)
			ids.line = append(l, "}\n"...)
			ids.endRow()
		}
	}
	if err := w.insert(ctx, ids); err != nil {
		return err
	}
	customers := w.newBody("customers", w.position.Store, w.position.Rewinds)
	for i := range rows {
		c := &rows[i]
		l := appendNumber(customers.line, `{"customer":`, uint64(c.Customer))
		l = appendText(l, `,"project":`, c.Project)
		l = appendText(l, `,"properties":`, string(c.Properties))
		l = appendTime(l, `,"created_at":`, c.Created)
		l = appendNumber(l, `,"changed":`, c.Changed)
		l = append(l, `,"erased":`...)
		l = strconv.AppendBool(l, c.Erased)
		customers.line = append(l, "}\n"...)
		customers.endRow()
	}
	if err := w.insert(ctx, customers); err != nil {
		return err
	}
	if err := w.merges(ctx); err != nil {
		return err
	}
	return w.forget(ctx)
}

// merges inserts rows into customer_map. If a survivor is absorbed, the rows
// that lead to it get the new survivor, so that no reader has to follow a
// chain.
func (w *write) merges(ctx context.Context) error {
	merged := make(map[trackway.Customer]*destination.Customer) // the absorbed ones
	for i := range w.batch.Customers {
		if c := &w.batch.Customers[i]; c.Survivor != 0 {
			merged[c.Customer] = c
		}
	}
	if len(merged) == 0 {
		return nil
	}
	last := func(c *destination.Customer) trackway.Customer {
		for merged[c.Survivor] != nil {
			c = merged[c.Survivor]
		}
		return c.Survivor
	}
	b := w.newBody("customer_map", w.position.Store, w.position.Rewinds)
	absorbed := make([]uint64, 0, len(merged))
	for i := range w.batch.Customers {
		if c := &w.batch.Customers[i]; c.Survivor != 0 {
			b.appendMerge(uint64(c.Customer), last(c), c.Changed)
			absorbed = append(absorbed, uint64(c.Customer))
		}
	}
	for some := range slices.Chunk(absorbed, mostKeys) {
		err := w.pairs(ctx, "SELECT DISTINCT customer, survivor FROM "+w.in("customer_map")+" WHERE survivor IN ("+list(some)+") ORDER BY customer, survivor",
			func(customer, survivor uint64) {
				c := merged[trackway.Customer(survivor)]
				if own := merged[trackway.Customer(customer)]; own == nil {
					b.appendMerge(customer, last(c), c.Changed)
				}
			})
		if err != nil {
			return err
		}
	}
	return w.insert(ctx, b)
}

func (b *body) appendMerge(customer uint64, survivor trackway.Customer, changed uint64) {
	l := appendNumber(b.line, `{"customer":`, customer)
	l = appendNumber(l, `,"survivor":`, uint64(survivor))
	l = appendNumber(l, `,"changed":`, changed)
	b.line = append(l, "}\n"...)
	b.endRow()
}

// erasures inserts erasures. Their version is the time of the last thing that
// happened to them, because a batch that has only erasures has no number of its
// own.
func (w *write) erasures(ctx context.Context) error {
	b := w.newBody("erasures", w.position.Store, w.position.Rewinds)
	for i := range w.batch.Erasures {
		e := &w.batch.Erasures[i]
		l := appendNumber(b.line, `{"erasure":`, e.ID)
		l = appendText(l, `,"project":`, e.Project)
		l = appendNumber(l, `,"customer":`, uint64(e.Customer))
		l = appendTime(l, `,"asked_at":`, e.Asked)
		if e.Done != 0 {
			l = appendTime(l, `,"done_at":`, e.Done)
		}
		l = appendNumber(l, `,"changed":`, uint64(max(e.Asked, e.Done, 0)))
		b.line = append(l, "}\n"...)
		b.endRow()
	}
	return w.insert(ctx, b)
}

func appendNumber(dst []byte, key string, n uint64) []byte {
	return strconv.AppendUint(append(dst, key...), n, 10)
}

func appendText(dst []byte, key, s string) []byte {
	return canonjson.AppendString(append(dst, key...), s)
}

// appendTime appends a time as text in ClickHouse's basic format. The columns
// have the time zone UTC.
func appendTime(dst []byte, key string, m trackway.Micros) []byte {
	dst = append(append(dst, key...), '"')
	return append(m.Time().AppendFormat(dst, "2006-01-02 15:04:05.000000"), '"')
}

// appendValue appends a declared column. It leaves out a column that is NULL,
// because ClickHouse makes a missing column NULL.
func appendValue(dst []byte, key string, v column.Value) []byte {
	if v.Kind == column.Null {
		return dst
	}
	switch v.Kind {
	case column.Text:
		return appendText(dst, key, v.Text)
	case column.Timestamp:
		return appendTime(dst, key, trackway.Micros(v.Int))
	case column.Decimal:
		return appendText(dst, key, v.Text)
	}
	dst = append(dst, key...)
	switch v.Kind {
	case column.Double:
		return strconv.AppendFloat(dst, v.Double, 'g', -1, 64)
	case column.Boolean:
		return strconv.AppendBool(dst, v.Int != 0)
	case column.Date:
		dst = time.Unix(v.Int*24*60*60, 0).UTC().AppendFormat(append(dst, '"'), time.DateOnly)
		return append(dst, '"')
	default:
		return strconv.AppendInt(dst, v.Int, 10)
	}
}
