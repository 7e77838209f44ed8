package object

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"trackway/internal/destination/column"
)

// format determines how rows become the bytes of an object.
type format interface {
	// encoder begins an object with rows of a table. mark is a text without
	// meaning: it makes objects with the same rows differ, so that their tags
	// differ, too.
	encoder(t *table, mark string) encoder

	// decode calls yield with each row of an object until yield returns false.
	// The row is valid only during the call.
	decode(t *table, data []byte, yield func(r row) bool) error

	// joins reports whether appending one object to another yields one valid
	// object.
	joins() bool

	// width returns how many bytes a column without a value takes in a row.
	width(name string) int

	// ending returns the ending of names, with the dot.
	ending() string
}

// encoder receives the rows of an object. It keeps the compressed object in
// memory, and at most 8 MiB of rows.
type encoder interface {
	// add adds a row. Values that do not fit into columns are counted in
	// misfits.
	add(r row, misfits *column.Misfits) error

	close() ([]byte, error)
}

// made is an object that is ready to be stored.
type made struct {
	data        []byte
	first, last uint64 // the lowest and highest key, 0 if there is no row
	rows        int
	weight      int
}

// maker makes an object, and keeps count of its content.
type maker struct {
	made

	t         *table
	e         encoder
	misfits   *column.Misfits // of rows that are new
	forgotten column.Misfits  // of rows that were already counted when they were new
}

func (s *Sink) maker(t *table, misfits *column.Misfits) *maker {
	return &maker{t: t, e: s.format.encoder(t, newMark()), misfits: misfits}
}

// add adds a new row.
func (m *maker) add(r row) error { return m.put(r, m.misfits) }

// keep adds a row that the destination already had.
func (m *maker) keep(r row) error { return m.put(r, &m.forgotten) }

func (m *maker) put(r row, misfits *column.Misfits) error {
	key := m.t.keyOf(r)
	if m.rows == 0 || key < m.first {
		m.first = key
	}
	m.last = max(m.last, key)
	m.rows++
	m.weight += m.t.weight(r)
	return m.e.add(r, misfits)
}

func (m *maker) finish() (_ *made, err error) {
	m.data, err = m.e.close()
	return &m.made, err
}

func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

// decode reads an object that may be damaged. A library that panics on a
// damaged file must not stop the process.
func (s *Sink) decode(t *table, data []byte, yield func(r row) bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the object is damaged: %v", r)
		}
	}()
	return s.format.decode(t, data, yield)
}

// lines calls yield with each line, without its end.
func lines(data []byte, yield func(line []byte) bool) {
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		if !yield(line) {
			return
		}
		data = rest
	}
}
