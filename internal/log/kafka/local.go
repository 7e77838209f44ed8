package kafka

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"trackway/internal/durable"
	"trackway/internal/log/raft/peer"
)

// kept is what a server knows besides its state, in a file.
type kept struct {
	ID     string `json:"id"`     // of this server
	Starts uint64 `json:"starts"` // how often it was opened

	// The log that the state is of; empty: none yet.
	Log   string `json:"log,omitempty"`   // the id that was drawn when it was begun
	Base  uint64 `json:"base,omitempty"`  // index of the state with which it was begun
	Begun bool   `json:"begun,omitempty"` // it is in the topic; else this server was about to begin it

	Cluster string `json:"cluster,omitempty"` // Kafka's id of its cluster
	Topic   string `json:"topic,omitempty"`   // Kafka's id of the topic
}

// The files in the directory of a log.
const (
	keptFile = "kafka.json"
	markFile = "read"
)

const private = 0o600

// startBits is how many bits of a counter count the entries since a start.
const startBits = 40

func idText(id peer.ID) string { return hex.EncodeToString(id[:]) }

// identify returns the id of this server, which is drawn with a new directory.
// It counts the starts, so that no counter of this server comes again.
func (l *Log) identify() error {
	if err := os.MkdirAll(l.o.Dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(l.o.Dir, keptFile)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, _ = rand.Read(l.origin[:]) // never fails
		l.kept.ID = idText(l.origin)
	case err != nil:
		return err
	default:
		if err := l.readKept(text); err != nil {
			return fmt.Errorf("%s is damaged (%w): empty the data directory, and start the server again", path, err)
		}
	}
	l.kept.Starts++
	l.counter.Store(l.kept.Starts << startBits)
	if err := l.save(l.kept); err != nil {
		return err
	}
	l.mark, err = openMark(filepath.Join(l.o.Dir, markFile))
	return err
}

func (l *Log) readKept(text []byte) error {
	if err := json.Unmarshal(text, &l.kept); err != nil {
		return err
	}
	at, err := peer.ParseTarget("#" + l.kept.ID)
	l.origin = at.ID
	return err
}

// keep changes what is kept, on the disk first.
func (l *Log) keep(change func(*kept)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.kept
	change(&next)
	if next == l.kept {
		return nil
	}
	if err := l.save(next); err != nil {
		return err
	}
	l.kept = next
	return nil
}

func (l *Log) save(k kept) error {
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(l.o.Dir, keptFile), append(text, '\n'), private)
}

func (l *Log) known() kept {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept
}

// mark is the last record that this server has read, in a file. It is written
// before the record is applied, and not synced: after the end of the process,
// the file has it; after a loss of power, the file and the state may both have
// lost their ends. A log that does not have that record any more went back.
type mark struct {
	file *os.File
	last read // zero: nothing was read yet
	next int64
}

// read is a record that was read.
type read struct {
	offset int64
	epoch  int32  // of the broker that led when it was written
	sum    uint32 // of its value
	any    bool
}

// A mark has two slots, which are written in turn, so that a torn write leaves
// the other one: offset, epoch, sum, and a checksum of these.
const slotSize = 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sumOf(value []byte) uint32 { return crc32.Checksum(value, castagnoli) }

func openMark(path string) (*mark, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, private)
	if err != nil {
		return nil, err
	}
	m := &mark{file: f}
	var b [2 * slotSize]byte
	n, _ := f.ReadAt(b[:], 0) // a new file is shorter
	for i := 0; (i+1)*slotSize <= n; i++ {
		slot := b[i*slotSize : (i+1)*slotSize]
		if sumOf(slot[:16]) != binary.BigEndian.Uint32(slot[16:]) {
			continue
		}
		r := read{
			offset: int64(binary.BigEndian.Uint64(slot)), epoch: int32(binary.BigEndian.Uint32(slot[8:])),
			sum: binary.BigEndian.Uint32(slot[12:]), any: true,
		}
		if !m.last.any || r.offset > m.last.offset {
			m.last, m.next = r, int64(1-i)
		}
	}
	return m, nil
}

// write notes a record.
func (m *mark) write(r read) error {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, slotSize), uint64(r.offset))
	b = binary.BigEndian.AppendUint32(b, uint32(r.epoch))
	b = binary.BigEndian.AppendUint32(b, r.sum)
	b = binary.BigEndian.AppendUint32(b, sumOf(b))
	if _, err := m.file.WriteAt(b, m.next*slotSize); err != nil {
		return err
	}
	r.any = true
	m.last, m.next = r, 1-m.next
	return nil
}

func (m *mark) close() error { return m.file.Close() }
