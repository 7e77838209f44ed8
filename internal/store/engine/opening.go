package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/format"
	"trackway/internal/store/journal"
)

// ErrDamagedLog is returned by [Open] if something is missing in a write-ahead
// log that was synced to it.
var ErrDamagedLog = errors.New("the write-ahead log is damaged, and with it what was acknowledged last")

// Lost is what cannot be had any more of a write-ahead log that is damaged.
type Lost struct {
	Log     string // name of the file where it begins
	Why     string
	Kept    int64  // bytes of that file before the damage
	Records int    // behind it, in this log and later ones: they can be read, but would leave a gap
	Last    uint64 // the highest sequence number of an event in these, 0 if there is none
}

// opening watches the logs that an opening replays.
type opening struct {
	salvage bool
	torn    func(name string, at int64) // is told of a log's end that is torn

	newest  uint64 // the highest number of a log that is there
	refused error
	lost    *Lost // from now on nothing is replayed
}

// look finds the newest log. One that is known to have been synced, and is not
// there with no newer one, is damage.
func (o *opening) look(d *disk) error {
	names, err := d.List(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, name := range names {
		if n, ok := logNumber(name); ok {
			o.newest = max(o.newest, n)
		}
	}
	known := d.synced.latest()
	if known.Log <= o.newest {
		return nil
	}
	name := fmt.Sprintf("%06d.log", known.Log)
	return o.damaged(&Lost{Log: name, Why: "it is not there"})
}

// damaged takes note of damage. Unless what is left is to be salvaged it is an
// error.
func (o *opening) damaged(lost *Lost) error {
	if o.salvage {
		o.lost = lost
		return nil
	}
	o.refused = fmt.Errorf("%w: %s: %s; \"trackway salvage\" says what is lost, see docs/damage.md", ErrDamagedLog, lost.Log, lost.Why)
	return o.refused
}

// log opens a log to be replayed. It returns what is in it, up to what may be
// replayed.
func (o *opening) log(d *disk, name string) (vfs.File, error) {
	f, err := d.FS.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	number, _ := logNumber(name)
	if o.lost == nil {
		found := journal.Check(data, number, d.synced.latest(), number == o.newest)
		switch {
		case found.Damage != nil:
			if err := o.damaged(&Lost{Log: d.PathBase(name), Why: found.Damage.Error(), Kept: found.Whole}); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			o.count(data, number, found.Intact)
			data = data[:found.Whole]
		case found.Torn:
			o.torn(d.PathBase(name), found.Intact)
		}
	} else {
		o.count(data, number, 0)
		data = nil
	}
	return &replayed{File: f, data: bytes.NewReader(data)}, nil
}

// count adds to what is lost what could still be read of a log.
func (o *opening) count(data []byte, log uint64, from int64) {
	o.lost.Records += journal.Records(data, log, from, func(key, value []byte) {
		if len(key) == len(format.AppendLogKey(nil, 0)) && key[0] == format.TableLog && len(value) > 0 {
			o.lost.Last = max(o.lost.Last, binary.BigEndian.Uint64(key[1:]))
		}
	})
}

// replayed is a log as it is replayed.
type replayed struct {
	vfs.File

	data *bytes.Reader
}

// Read implements [vfs.File].
func (r *replayed) Read(b []byte) (int, error) { return r.data.Read(b) }
