// Package digest sums up the state of a store, so that the servers that apply
// the same entries can tell whether one of them differs. ADR 28 gives the
// reasons.
//
// A digest has two parts. Its effects are a checksum of everything that entries
// have changed since the digest before. Its content is a hash of a part of the
// state, as it is read from the disk. One digest after another reads the whole
// state, part by part.
//
// It keeps all this in memory. After a start, the first digest has no effects.
package digest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/store/format"
)

// Kept is how many digests a ledger keeps.
const Kept = 16

// Digest is the state of a server after the entry that asked for it.
type Digest struct {
	Index uint64 `json:"index"` // of that entry

	// Effects is a checksum of the keys and values that entries have written
	// since the digest before. Whole says that it covers all of them: the
	// server has not started since.
	Effects uint32 `json:"effects"`
	Whole   bool   `json:"whole"`

	// Content is a hash of a part of the state, in hexadecimal digits. It is
	// empty if the server could not read that part, or does not know where it
	// begins, and [Damaged] if it found damage.
	Content string `json:"content,omitempty"`

	// From is a checksum of the key at which that part begins. Servers that
	// differ in the part before may not agree about it.
	From uint32 `json:"from,omitempty"`

	// Next is the key at which the next part begins: empty after the last
	// part, nil as long as it is not known. It may hold personal data, so it
	// goes into no log.
	Next []byte `json:"next"`
}

// Damaged is the content of a part that is damaged.
const Damaged = "damaged"

// Sizes.
const (
	partBytes  = 32 << 20 // of keys and values in a part
	pieceBytes = 1 << 20  // are read without a rest
	restFactor = 4        // of the time that a piece takes
	bufferSize = 64 << 10
)

// Ledger takes and keeps the digests of a store. It is safe for concurrent use.
type Ledger struct {
	enter func() (leave func()) // notes a reader of a snapshot

	Part int // bytes of keys and values in a part; for tests

	ctx     context.Context //nolint:containedctx // ends with Stop
	cancel  context.CancelFunc
	reading sync.WaitGroup

	// mu guards the fields below. Nothing is read from the disk under it.
	mu    sync.Mutex
	taken []Digest // the oldest first
	busy  bool     // a part is being read
}

// New returns a ledger. It calls enter before it makes a snapshot of the store,
// and what enter returns once it has read it.
func New(enter func() (leave func())) *Ledger {
	l := &Ledger{enter: enter, Part: partBytes}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Stop stops reading, and waits until that has ended.
func (l *Ledger) Stop() {
	l.mu.Lock()
	l.cancel() // from now on, no reading begins
	l.mu.Unlock()
	l.Wait()
}

// Wait waits until what was taken before is read. REQUIRES: nothing is taken
// meanwhile.
func (l *Ledger) Wait() { l.reading.Wait() }

// Source is what a digest sums up: the writes of transactions.
type Source interface {
	// Effects returns a checksum of what was committed since the last call, and
	// whether it covers all of it.
	Effects() (sum uint32, whole bool)
}

// Take takes the digest of the entry with an index, which was committed last.
// It reads the part of the state that follows that of the digest with the index
// after; 0: the first part. It does not wait until that is read. REQUIRES:
// nothing is committed meanwhile.
func (l *Ledger) Take(db *pebble.DB, index, after uint64, from Source) {
	d := Digest{Index: index}
	d.Effects, d.Whole = from.Effects()
	l.mu.Lock()
	defer l.mu.Unlock()
	start, known := l.startLocked(after)
	l.taken = append(l.taken, d)
	l.taken = slices.Delete(l.taken, 0, max(0, len(l.taken)-Kept))
	if !known || l.busy || l.ctx.Err() != nil {
		return // the servers compare the rest
	}
	l.busy = true
	leave := l.enter()
	snapshot := db.NewSnapshot()
	l.reading.Go(func() {
		defer leave()
		content, next := l.read(snapshot, start)
		_ = snapshot.Close() // what was read is read
		l.mu.Lock()
		defer l.mu.Unlock()
		l.busy = false
		if at := l.findLocked(index); at != nil {
			at.Content, at.From, at.Next = content, crc32.ChecksumIEEE(start), next
		}
	})
}

func (l *Ledger) findLocked(index uint64) *Digest {
	for i := range l.taken {
		if l.taken[i].Index == index {
			return &l.taken[i]
		}
	}
	return nil
}

// startLocked returns the first key of the part after a digest.
func (l *Ledger) startLocked(after uint64) (key []byte, known bool) {
	if after == 0 {
		return nil, true
	}
	if d := l.findLocked(after); d != nil {
		key = d.Next
	}
	return key, len(key) > 0
}

// Digests returns the last digests, the oldest first.
func (l *Ledger) Digests() []Digest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.taken)
}

// Adopt tells where the part after a digest begins, as another server knows. A
// server that has started in the middle of a round needs it.
func (l *Ledger) Adopt(index uint64, next []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.findLocked(index); d != nil && d.Next == nil && !l.busy {
		d.Next = bytes.Clone(next)
	}
}

// read reads a part of the state. It rests between pieces, so that others get
// the processor and the disk.
func (l *Ledger) read(from *pebble.Snapshot, start []byte) (content string, next []byte) {
	it, err := from.NewIterWithContext(l.ctx, &pebble.IterOptions{LowerBound: start, UpperBound: []byte{format.ScratchKeys}})
	if err != nil {
		return failed(err), nil
	}
	hash, buffer := sha256.New(), make([]byte, 0, bufferSize)
	total, piece, began := 0, 0, time.Now()
	next = []byte{}
	for ok := it.First(); ok; {
		key := it.Key()
		if !isState(key[0]) {
			ok = it.SeekGE([]byte{key[0] + 1})
			continue
		}
		if total >= l.Part {
			next = bytes.Clone(key)
			break
		}
		value, err := it.ValueAndErr()
		if err != nil {
			break // the iterator has it, too
		}
		buffer = append(binary.AppendUvarint(buffer, uint64(len(key))), key...)
		buffer = append(binary.AppendUvarint(buffer, uint64(len(value))), value...)
		if len(buffer) > bufferSize/2 {
			hash.Write(buffer)
			buffer = buffer[:0]
		}
		n := len(key) + len(value)
		if total, piece = total+n, piece+n; piece >= pieceBytes {
			if !l.rest(restFactor * time.Since(began)) {
				break
			}
			piece, began = 0, time.Now()
		}
		ok = it.Next()
	}
	hash.Write(append(buffer, next...))
	err = it.Error()
	if closed := it.Close(); err == nil {
		err = closed
	}
	switch {
	case err != nil:
		return failed(err), nil
	case l.ctx.Err() != nil:
		return "", nil
	}
	return hex.EncodeToString(hash.Sum(nil)[:16]), next
}

// isState reports whether servers agree in a table. Counts are written from
// time to time, and not by entries.
func isState(table byte) bool { return table != format.TableNode && table != format.TableCounts }

// failed returns the content of a part that cannot be read. Only damage is a
// difference: any other error may be over soon.
func failed(err error) string {
	if pebble.IsCorruptionError(err) {
		return Damaged
	}
	return ""
}

// rest waits, unless the ledger is closed.
func (l *Ledger) rest(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}
