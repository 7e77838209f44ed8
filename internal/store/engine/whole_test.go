package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/format"
)

// TestReadAll: a database is read in parts that end between its tables, and a
// flipped bit in any table is found.
func TestReadAll(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	o := Options{FS: fs, Fatal: func(err error) { panic(err) }}
	db, err := pebble.Open("db", Pebble(o))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for table := range 8 {
		for i := range 200 {
			value := make([]byte, 1000)
			for at := range value {
				value[at] = byte(random.Uint32())
			}
			if err := db.Set(fmt.Appendf([]byte{format.TableLog}, "%d-%03d", table, i), value, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if cuts, err := parts(db); err != nil || len(cuts) != readers-1 {
		t.Errorf("cuts %q, %v", cuts, err)
	}
	if err := errors.Join(ReadAll(t.Context(), db), db.Close()); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	tables := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		tables++
		name = fs.PathJoin("db", name)
		whole := contents(t, fs, name)
		damaged := append([]byte(nil), whole...)
		damaged[len(damaged)/3] ^= 1
		overwrite(t, fs, name, damaged)
		if err := readOnly(t, o); err == nil {
			t.Errorf("a flipped bit in %s is not found", name)
		}
		overwrite(t, fs, name, whole)
	}
	if err := readOnly(t, o); err != nil || tables < 2 {
		t.Errorf("%d tables: %v", tables, err)
	}
}

// TestCheckFile: a flipped bit anywhere in a table is found, and so is a table
// that is cut off.
func TestCheckFile(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	o := Options{FS: fs, Fatal: func(err error) { panic(err) }}
	db, err := pebble.Open("db", Pebble(o))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 { // with little in a block, because Pebble looks for the bit that was flipped
		key := fmt.Appendf([]byte{format.TableLog}, "%06d", i)
		if err := db.Set(key, bytes.Repeat(key, 3), nil); err != nil {
			t.Fatal(err)
		}
	}
	to := format.After([]byte{format.TableLog})
	if err := errors.Join(db.DeleteRange([]byte{format.TableLog, '9'}, to, nil), db.Flush(), db.Close()); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	tables := 0
	for _, name := range names {
		name = fs.PathJoin("db", name)
		if err := CheckFile(fs, name); err != nil {
			t.Fatal(name, err)
		}
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		tables++
		whole := contents(t, fs, name)
		for at := range whole {
			damaged := append([]byte(nil), whole...)
			damaged[at] ^= 1 << (at % 8)
			overwrite(t, fs, name, damaged)
			if err := CheckFile(fs, name); err == nil {
				t.Errorf("%s: a flipped bit in byte %d of %d is not found", name, at, len(whole))
			}
		}
		overwrite(t, fs, name, whole[:len(whole)-1])
		if err := CheckFile(fs, name); err == nil {
			t.Errorf("%s: it is not found that it is cut off", name)
		}
		overwrite(t, fs, name, whole)
	}
	if tables == 0 {
		t.Error("there were no tables")
	}
}

func readOnly(t *testing.T, o Options) error {
	t.Helper()
	po := Pebble(o)
	po.ReadOnly = true
	db, err := pebble.Open("db", po)
	if err != nil {
		t.Fatal(err)
	}
	return errors.Join(ReadAll(t.Context(), db), db.Close())
}

func contents(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func overwrite(t *testing.T, fs vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fs.Create(name, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); errors.Join(err, f.Close()) != nil {
		t.Fatal(err)
	}
}
