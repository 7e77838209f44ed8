package erased

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/store/format"
)

// Forget deletes from the table of former holders what it says of customers that were erased: identifiers that they had lost before.
// survivor tells who a customer of a project is now. Cost: a read of the table, and of the record of each customer in it.
func Forget(db *pebble.DB, gone map[trackway.Customer]bool, survivor func(uint32, trackway.Customer) (*identity.Holder, error)) error {
	low := []byte{format.TableFormer}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: format.After(low)})
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		key := it.Key()
		var now *identity.Holder
		now, err = survivor(binary.BigEndian.Uint32(key[1:]), trackway.Customer(binary.BigEndian.Uint64(key[len(key)-8:])))
		if err == nil && gone[now.Customer] {
			err = db.Delete(key, pebble.NoSync)
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}
