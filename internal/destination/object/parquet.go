package object

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"

	"trackway/internal/destination/column"
)

// columnar is Parquet with zstd. Columns are in the order of their names.
type columnar struct{}

// A row group ends after this many bytes or rows. That bounds what a writer
// keeps uncompressed.
const (
	groupBytes = 8 << 20
	groupRows  = 1 << 17
)

func (columnar) joins() bool { return false }

func (columnar) width(string) int { return 0 } // about a bit

func (columnar) ending() string { return ".parquet" }

// leaf is a column of a Parquet file.
type leaf struct {
	name     string
	node     parquet.Node
	field    int // of the table, or -1
	declared int // of the declared columns, if field is -1
	optional bool
	decimal  int // bytes of a decimal that does not fit into 64 bits
}

// leaves returns the columns in the order that parquet-go gives them.
func (t *table) leaves() []leaf {
	var all []leaf
	for i, f := range t.fields {
		l := leaf{name: f.name, field: i, optional: f.nothing}
		switch {
		case f.json:
			l.node = parquet.JSON()
		case f.few:
			l.node = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
		case f.rising || f.kind == column.Timestamp && !f.nothing:
			node, _ := nodeOf(column.Type{Kind: f.kind})
			l.node = parquet.Encoded(node, &parquet.DeltaBinaryPacked)
		default:
			l.node, _ = nodeOf(column.Type{Kind: f.kind})
		}
		if l.optional {
			l.node = parquet.Optional(l.node)
		}
		all = append(all, l)
	}
	for i, c := range t.columns.Columns {
		node, wide := nodeOf(c.Type)
		all = append(all, leaf{name: c.Name, node: parquet.Optional(node), field: -1, declared: i, optional: true, decimal: wide})
	}
	slices.SortFunc(all, func(a, b leaf) int { return cmp.Compare(a.name, b.name) })
	return all
}

// nodeOf returns the column of a type. wide is the size of a decimal that needs
// more than 64 bits.
func nodeOf(t column.Type) (node parquet.Node, wide int) {
	switch t.Kind {
	case column.BigInt:
		return parquet.Int(64), 0
	case column.Double:
		return parquet.Leaf(parquet.DoubleType), 0
	case column.Boolean:
		return parquet.Leaf(parquet.BooleanType), 0
	case column.Timestamp:
		return parquet.Timestamp(parquet.Microsecond), 0
	case column.Date:
		return parquet.Date(), 0
	case column.Decimal:
		if t.Precision <= 18 {
			return parquet.Decimal(t.Scale, t.Precision, parquet.Int64Type), 0
		}
		return parquet.Decimal(t.Scale, t.Precision, parquet.FixedLenByteArrayType(decimalBytes)), decimalBytes
	}
	return parquet.String(), 0
}

// decimalBytes holds 38 digits and a sign.
const decimalBytes = 16

type rowEncoder struct {
	t       *table
	leaves  []leaf
	out     bytes.Buffer
	w       *parquet.GenericWriter[any]
	rows    []parquet.Row
	n       int // of rows that the writer does not have yet
	filled  int // bytes in this row group
	inGroup int // rows in it
	values  []column.Value
}

func (columnar) encoder(t *table, mark string) encoder {
	e := &rowEncoder{t: t, leaves: t.leaves(), rows: make([]parquet.Row, 128)}
	group := parquet.Group{}
	for _, l := range e.leaves {
		group[l.name] = l.node
	}
	e.w = parquet.NewGenericWriter[any](&e.out, parquet.NewSchema(t.name, group),
		parquet.Compression(&parquet.Zstd), parquet.KeyValueMetadata("trackway.write", mark))
	return e
}

func (e *rowEncoder) add(r row, misfits *column.Misfits) error {
	if len(e.t.columns.Columns) > 0 {
		e.values = e.t.columns.Values(e.values, r[3].Text, []byte(r[6].Text), misfits)
	}
	to := e.rows[e.n][:0]
	for i := range e.leaves {
		l := &e.leaves[i]
		var v column.Value
		if l.field >= 0 {
			v = r[l.field]
		} else {
			v = e.values[l.declared]
		}
		e.filled += len(v.Text) + 8
		defined := 0
		if l.optional && v.Kind != column.Null {
			defined = 1
		}
		to = append(to, l.value(v).Level(0, defined, i))
	}
	e.rows[e.n] = to
	e.n++
	e.inGroup++
	switch {
	case e.inGroup >= groupRows || e.filled >= groupBytes:
		e.inGroup, e.filled = 0, 0
		if err := e.pass(); err != nil {
			return err
		}
		return e.w.Flush()
	case e.n == len(e.rows):
		return e.pass()
	}
	return nil
}

func (e *rowEncoder) pass() error {
	_, err := e.w.WriteRows(e.rows[:e.n])
	e.n = 0
	return err
}

func (e *rowEncoder) close() ([]byte, error) {
	if err := e.pass(); err != nil {
		return nil, err
	}
	if err := e.w.Close(); err != nil {
		return nil, err
	}
	return e.out.Bytes(), nil
}

func (l *leaf) value(v column.Value) parquet.Value {
	switch v.Kind {
	case column.Text:
		return parquet.ByteArrayValue([]byte(v.Text))
	case column.Double:
		return parquet.DoubleValue(v.Double)
	case column.Boolean:
		return parquet.BooleanValue(v.Int != 0)
	case column.Date:
		return parquet.Int32Value(int32(v.Int))
	case column.Decimal:
		n := v.Unscaled()
		if l.decimal == 0 {
			return parquet.Int64Value(n.Int64())
		}
		b := make([]byte, l.decimal) // two's complement, big endian
		negative := n.Sign() < 0
		if negative {
			n.Not(n) // -n-1: its bits are the reverse of n's
		}
		n.FillBytes(b)
		if negative {
			for i := range b {
				b[i] = ^b[i]
			}
		}
		return parquet.FixedLenByteArrayValue(b)
	case column.BigInt, column.Timestamp:
		return parquet.Int64Value(v.Int)
	}
	return parquet.NullValue()
}

var errSchema = errors.New("the object has other columns")

func (columnar) decode(t *table, data []byte, yield func(r row) bool) error {
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return err
	}
	fields := make([]int, len(f.Schema().Columns())) // by column; -1: not a field
	found := 0
	for i, path := range f.Schema().Columns() {
		fields[i] = slices.IndexFunc(t.fields, func(f field) bool { return len(path) == 1 && f.name == path[0] })
		if fields[i] >= 0 {
			found++
		}
	}
	if found != len(t.fields) {
		return errSchema
	}
	for _, group := range f.RowGroups() {
		if more, err := t.decodeGroup(group.Rows(), fields, yield); err != nil || !more {
			return err
		}
	}
	return nil
}

func (t *table) decodeGroup(rows parquet.Rows, fields []int, yield func(r row) bool) (more bool, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	r := make(row, len(t.fields))
	var buf [64]parquet.Row
	for {
		n, err := rows.ReadRows(buf[:])
		for _, values := range buf[:n] {
			for _, v := range values {
				if i := fields[v.Column()]; i >= 0 {
					r[i] = t.fields[i].fromParquet(v)
				}
			}
			if !yield(r) {
				return false, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

func (f *field) fromParquet(v parquet.Value) column.Value {
	switch {
	case v.IsNull():
		return column.Value{}
	case f.kind == column.Text:
		return text(string(v.ByteArray()))
	case f.kind == column.Boolean:
		n := int64(0)
		if v.Boolean() {
			n = 1
		}
		return column.Value{Kind: f.kind, Int: n}
	}
	return column.Value{Kind: f.kind, Int: v.Int64()}
}
