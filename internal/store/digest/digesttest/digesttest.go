// Package digesttest changes stores behind their backs, so that tests can show
// that servers notice.
package digesttest

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/engine"
	"trackway/internal/store/format"
)

// Alter gives the first customer of a store another property, as somebody with
// a tool for the database would. No server may have the store open. fs may be
// nil, for the operating system's files.
func Alter(tb testing.TB, fs vfs.FS, dir string) {
	tb.Helper()
	db, err := pebble.Open(dir, engine.Pebble(engine.Options{FS: fs, Cache: 1 << 20, Fatal: func(err error) { panic(err) }}))
	if err != nil {
		tb.Fatal(err)
	}
	err = db.Set(format.AppendPropKey(nil, 1, "vip"), []byte("\x01true"), pebble.Sync)
	if err = errors.Join(err, db.Close()); err != nil {
		tb.Fatal(err)
	}
}
