package erased

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/identity"
	"trackway/internal/store/format"
)

// maxForgotten is the most former holders to forget at once.
const maxForgotten = 1000

// Forget removes the rows of erased customers from the table of former holders:
// identifiers that they had lost earlier. It passes the rows to forget in
// batches. survivor returns who a customer of a project is now. Cost: a read of
// the table, and of the record of each customer in it.
func Forget(
	db *pebble.DB, gone map[trackway.Customer]bool,
	survivor func(uint32, trackway.Customer) (*identity.Holder, error), forget func(*entry.Forget) error,
) error {
	low := []byte{format.TableFormer}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: format.After(low)})
	if err != nil {
		return err
	}
	var e entry.Forget
	for it.First(); it.Valid() && err == nil; it.Next() {
		var f entry.FormerHolder
		if f, err = formerHolder(it.Key()); err != nil {
			break
		}
		var now *identity.Holder
		if now, err = survivor(f.Project, f.Customer); err == nil && gone[now.Customer] {
			e.Holders = append(e.Holders, f)
		}
		if err == nil && len(e.Holders) == maxForgotten {
			err = forget(&e)
			e.Holders = e.Holders[:0]
		}
	}
	if err = errors.Join(err, it.Error(), it.Close()); err == nil && len(e.Holders) > 0 {
		err = forget(&e)
	}
	return err
}

// formerHolder decodes a key of the table.
func formerHolder(key []byte) (f entry.FormerHolder, err error) {
	const head, tail = 1 + 4, 8
	if len(key) < head+tail {
		return f, format.ErrCorrupt
	}
	name, value, ok := bytes.Cut(key[head:len(key)-tail], []byte{0})
	length, n := binary.Uvarint(value)
	if !ok || n <= 0 || length != uint64(len(value)-n) {
		return f, format.ErrCorrupt
	}
	f.Project = binary.BigEndian.Uint32(key[1:])
	f.Customer = trackway.Customer(binary.BigEndian.Uint64(key[len(key)-tail:]))
	f.Identifier = trackway.Identifier{Name: string(name), Value: string(value[n:])}
	return f, nil
}
