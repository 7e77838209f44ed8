package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// CheckFile reads a file of a database that is not open, and verifies the
// checksum of each block if it is a table. It decompresses nothing but indexes,
// so it costs little more than the reading. Files other than tables are checked
// when the database is opened. fs may be nil, for the operating system's files.
//
// CheckFile proves that a table is what was written. [ReadAll] also proves that
// each block can be decompressed.
func CheckFile(fs vfs.FS, name string) error {
	if fs == nil {
		fs = vfs.Default
	}
	switch {
	case strings.HasSuffix(name, ".blob"):
		return fmt.Errorf("%s is of a kind that no store has", fs.PathBase(name))
	case !strings.HasSuffix(name, ".sst"):
		return nil
	}
	if err := checkTable(fs, name); err != nil {
		return fmt.Errorf("%s: %w", fs.PathBase(name), err)
	}
	return nil
}

func checkTable(fs vfs.FS, name string) (err error) {
	f, err := fs.Open(name, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	ctx := context.Background()
	r, err := sstable.NewReader(ctx, readable, Pebble(Options{FS: fs}).MakeReaderOptions())
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	layout, err := r.Layout()
	if err != nil {
		return err
	}
	var buf []byte
	at := uint64(0)
	for _, b := range blocks(layout) {
		if b.Offset != at {
			return fmt.Errorf("nothing says what is in the bytes from %d to %d", at, b.Offset)
		}
		length := b.Length + block.TrailerLen
		buf = slices.Grow(buf[:0], int(length))[:length]
		if err := readable.ReadAt(ctx, buf, int64(at)); err != nil {
			return err
		}
		if err := block.ValidateChecksum(r.BlockReader().ChecksumType(), buf, b); err != nil {
			return err
		}
		at += length
	}
	if at != layout.Footer.Offset {
		return fmt.Errorf("nothing says what is in the bytes from %d to %d", at, layout.Footer.Offset)
	}
	return nil
}

// blocks returns all blocks of a table, in order.
func blocks(l *sstable.Layout) []block.Handle {
	all := []block.Handle{l.TopIndex, l.RangeDel, l.RangeKey, l.ValueIndex, l.Properties, l.MetaIndex, l.BlobReferenceIndex}
	all = slices.Concat(all, l.Index, l.ValueBlock)
	for i := range l.Data {
		all = append(all, l.Data[i].Handle)
	}
	for i := range l.Filter {
		all = append(all, l.Filter[i].Handle)
	}
	all = slices.DeleteFunc(all, func(b block.Handle) bool { return b.Length == 0 })
	slices.SortFunc(all, func(a, b block.Handle) int { return cmp.Compare(a.Offset, b.Offset) })
	return all
}
