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

// ErrDamagedLog is the error of [Open] if a write-ahead log lacks something
// that was synced to it.
var ErrDamagedLog = errors.New("the write-ahead log is damaged, and with it what was acknowledged last")

// Lost describes the part of a damaged write-ahead log that cannot be
// recovered.
type Lost struct {
	Log  string // name of the file in which the loss begins
	Why  string
	Kept int64 // bytes of that file before the damage
	// readable records after the damage, in this and later logs; replaying them
	// would leave a gap
	Records int
	Last    uint64 // highest sequence number of an event in Records; 0: no events
}

// opening checks the logs that Pebble replays while it opens the database.
type opening struct {
	salvage bool
	torn    func(name string, at int64) // receives a log with a torn end

	newest  uint64 // highest number of an existing log
	refused error
	lost    *Lost // if set, nothing more is replayed
}

// look finds the newest log. If a log is known to have been synced, and neither
// it nor a newer one exists, that is damage.
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

// damaged records damage. It returns an error unless the opening salvages.
func (o *opening) damaged(lost *Lost) error {
	if o.salvage {
		o.lost = lost
		return nil
	}
	o.refused = fmt.Errorf("%w: %s: %s; \"trackway salvage\" says what is lost, see docs/damage.md", ErrDamagedLog, lost.Log, lost.Why)
	return o.refused
}

// log opens a log for replay. The file that it returns ends where the replay
// must end.
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

// count adds the readable records of a log to the loss.
func (o *opening) count(data []byte, log uint64, from int64) {
	o.lost.Records += journal.Records(data, log, from, func(key, value []byte) {
		if len(key) == len(format.AppendLogKey(nil, 0)) && key[0] == format.TableLog && len(value) > 0 {
			o.lost.Last = max(o.lost.Last, binary.BigEndian.Uint64(key[1:]))
		}
	})
}

// replayed is a log open for replay.
type replayed struct {
	vfs.File

	data *bytes.Reader
}

// Read implements [vfs.File].
func (r *replayed) Read(b []byte) (int, error) { return r.data.Read(b) }
