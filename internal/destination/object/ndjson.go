package object

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strconv"

	"github.com/klauspost/compress/zstd"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/destination/column"
	"trackway/internal/iso8601"
)

// ndjson writes each row as a JSON object on a line. Compressed objects are
// zstd frames (RFC 8878), so they can be joined, too.
type ndjson struct{ compressed bool }

func (n ndjson) joins() bool { return true }

func (n ndjson) width(name string) int { return len(name) + len(`,"":null`) }

func (n ndjson) ending() string {
	if n.compressed {
		return ".ndjson.zst"
	}
	return ".ndjson"
}

type lineEncoder struct {
	t      *table
	out    bytes.Buffer
	w      io.Writer
	z      *zstd.Encoder // nil if not compressed
	line   []byte
	values []column.Value
}

func (n ndjson) encoder(t *table, mark string) encoder {
	e := &lineEncoder{t: t}
	e.w = &e.out
	if n.compressed {
		// A frame that readers skip (RFC 8878, section 3.1.2).
		e.out.Write(binary.LittleEndian.AppendUint32([]byte{0x50, 0x2a, 0x4d, 0x18}, uint32(len(mark))))
		e.out.WriteString(mark)
		z, err := zstd.NewWriter(&e.out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			panic("bug: options of zstd: " + err.Error())
		}
		e.z, e.w = z, z
	}
	return e
}

func (e *lineEncoder) add(r row, misfits *column.Misfits) error {
	b := e.line[:0]
	for i := range e.t.fields {
		f := &e.t.fields[i]
		b = appendMember(b, i == 0, f.name)
		if f.json {
			b = append(b, r[i].Text...)
		} else {
			b = appendValue(b, r[i])
		}
	}
	if len(e.t.columns.Columns) > 0 {
		e.values = e.t.columns.Values(e.values, r[3].Text, []byte(r[6].Text), misfits)
		for i, v := range e.values {
			b = appendValue(appendMember(b, false, e.t.columns.Columns[i].Name), v)
		}
	}
	e.line = append(b, '}', '\n')
	_, err := e.w.Write(e.line)
	return err
}

func appendMember(b []byte, first bool, name string) []byte {
	if first {
		b = append(b, '{')
	} else {
		b = append(b, ',')
	}
	return append(canonjson.AppendString(b, name), ':')
}

const (
	timeLayout = "2006-01-02T15:04:05.000000Z"
	day        = 24 * 60 * 60 * 1_000_000 // microseconds
)

func appendValue(b []byte, v column.Value) []byte {
	switch v.Kind {
	case column.Text:
		return canonjson.AppendString(b, v.Text)
	case column.Decimal:
		return append(b, v.Text...)
	case column.BigInt:
		return strconv.AppendInt(b, v.Int, 10)
	case column.Double:
		return strconv.AppendFloat(b, v.Double, 'g', -1, 64)
	case column.Boolean:
		return strconv.AppendBool(b, v.Int != 0)
	case column.Timestamp:
		b = trackway.Micros(v.Int).Time().AppendFormat(append(b, '"'), timeLayout)
		return append(b, '"')
	case column.Date:
		b = trackway.Micros(v.Int*day).Time().AppendFormat(append(b, '"'), "2006-01-02")
		return append(b, '"')
	}
	return append(b, "null"...)
}

func (e *lineEncoder) close() ([]byte, error) {
	if e.z != nil {
		if err := e.z.Close(); err != nil {
			return nil, err
		}
	}
	return e.out.Bytes(), nil
}

var errLine = errors.New("a line is not a row")

func (n ndjson) decode(t *table, data []byte, yield func(r row) bool) error {
	if n.compressed {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(16*full))
		if err != nil {
			panic("bug: options of zstd: " + err.Error())
		}
		defer z.Close()
		if data, err = z.DecodeAll(data, nil); err != nil {
			return err
		}
	}
	var err error
	r := make(row, len(t.fields))
	lines(data, func(line []byte) bool {
		if !t.decodeLine(r, line) {
			err = errLine
			return false
		}
		return yield(r)
	})
	return err
}

// decodeLine fills in a row. Members that are not fields are columns.
func (t *table) decodeLine(r row, line []byte) bool {
	clear(r)
	found := 0
	scan := canonjson.Scan(line)
	for name := range scan.Members {
		v := scan.Value()
		if scan.Bad() {
			return false
		}
		for i := range t.fields {
			f := &t.fields[i]
			if f.name != name {
				continue
			}
			var ok bool
			if r[i], ok = f.fromJSON(v); !ok {
				return false
			}
			found++
		}
	}
	scan.End()
	return !scan.Bad() && found == len(t.fields)
}

func (f *field) fromJSON(v canonjson.Value) (column.Value, bool) {
	switch {
	case f.json:
		return text(string(v.Raw)), v.Kind == canonjson.Object
	case v.Kind == canonjson.Null:
		return column.Value{}, f.nothing
	case f.kind == column.Text && v.Kind == canonjson.String:
		return text(string([]byte(v.Text()))), true
	case f.kind == column.BigInt && v.Kind == canonjson.Number:
		n, err := strconv.ParseInt(string(v.Raw), 10, 64)
		return column.Value{Kind: column.BigInt, Int: n}, err == nil
	case f.kind == column.Timestamp && v.Kind == canonjson.String:
		at, ok := iso8601.Parse(v.Text())
		return moment(at), ok
	case f.kind == column.Boolean && v.Kind == canonjson.True:
		return column.Value{Kind: column.Boolean, Int: 1}, true
	case f.kind == column.Boolean && v.Kind == canonjson.False:
		return column.Value{Kind: column.Boolean}, true
	}
	return column.Value{}, false
}
