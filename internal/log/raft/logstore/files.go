package logstore

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/engine"
	"trackway/internal/store/journal"
)

// Names of files.
const (
	segmentSuffix = ".seg"
	syncedName    = "SYNCED-SEGMENT" // says how far the newest segment is synced
	lockName      = "LOCK"
)

// Sizes of segments.
const (
	segmentBytes = 16 << 20 // then the next one begins; an opening holds two in memory
	mostBytes    = 3 << 30  // of a segment, if no other file can be made
)

// segment is a file of a store.
type segment struct {
	number uint32
	salt   uint64
	bytes  int // that count
}

// active is the segment that is written.
type active struct {
	segment
	file vfs.File
}

func segmentName(number uint32) string { return fmt.Sprintf("%010d%s", number, segmentSuffix) }

// numbers returns the numbers of the segments in the directory, in order.
func (s *Store) numbers() (all []uint32, err error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, is := strings.CutSuffix(name, segmentSuffix)
		if !is {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || name != segmentName(uint32(n)) {
			return nil, fmt.Errorf("%s is not the name of a segment", name)
		}
		all = append(all, uint32(n))
	}
	slices.Sort(all)
	return all, nil
}

// read reads a whole file into a buffer, which it returns.
func (s *Store) read(name string, buffer []byte) ([]byte, error) {
	f, err := s.fs.Open(s.fs.PathJoin(s.dir, name))
	if err != nil {
		return buffer[:0], err
	}
	info, err := f.Stat()
	if err != nil {
		return buffer[:0], errors.Join(err, f.Close())
	}
	buffer = slices.Grow(buffer[:0], int(info.Size()))[:info.Size()]
	_, err = io.ReadFull(f, buffer)
	return buffer, errors.Join(err, f.Close())
}

// prologue returns the salt of a segment. It returns false if b does not begin
// like one.
func prologue(b []byte) (salt uint64, ok bool) {
	if len(b) < prologueBytes || string(b[:len(segmentMagic)]) != segmentMagic {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[len(segmentMagic):]), true
}

// headOf returns the head of a segment, and its first frame.
func headOf(b []byte) (h head, f frame, salt uint64, ok bool) {
	salt, ok = prologue(b)
	if !ok {
		return h, f, 0, false
	}
	if f, ok = parse(salt, b, prologueBytes); !ok || f.kind != kindHead {
		return h, f, salt, false
	}
	h, err := decodeHeadFrame(f.content)
	return h, f, salt, err == nil
}

// load reads all segments. Everything that was synced must be there and whole.
func (s *Store) load() error {
	mark, err := s.loadMark()
	if err != nil {
		return err
	}
	numbers, err := s.numbers()
	if err != nil {
		return unread(err)
	}
	if len(numbers) > 0 {
		s.oldest = numbers[0]
	}
	if err := s.replayAll(numbers, mark); err != nil {
		return unread(err)
	}
	if mark.Log > uint64(s.active.number) {
		return damaged(fmt.Errorf("segment %d is missing", mark.Log))
	}
	for i, at := range s.places {
		if at == (place{}) {
			return damaged(fmt.Errorf("entry %d is missing", s.first+uint64(i)))
		}
	}
	return nil
}

// unread is why the segments cannot be read: they are damaged, or no file can
// be opened at the moment.
func unread(err error) error {
	if engine.NoFiles(err) {
		return err
	}
	return damaged(err)
}

// replayAll reads segments, in order.
func (s *Store) replayAll(numbers []uint32, mark journal.Mark) (err error) {
	var this, next []byte
	for i, number := range numbers {
		if i == 0 {
			next, err = s.read(segmentName(number), nil)
		}
		this, next = next, this
		limit := -1 // how many bytes count; unknown
		if rest := numbers[i+1:]; err == nil && len(rest) > 0 {
			if next, err = s.read(segmentName(rest[0]), next); err == nil && rest[0] != number+1 {
				s.state = state{} // a power cut has brought back what was removed
				continue
			}
			if err == nil {
				limit, err = limitOf(next, rest, mark)
			}
		}
		if err != nil {
			return err
		}
		if err := s.replay(number, this, limit, mark); err != nil {
			return fmt.Errorf("segment %d: %w", number, err)
		}
		if limit < 0 {
			break
		}
	}
	return nil
}

// limitOf returns how many bytes count of the segment before the first of
// numbers, whose content is b. It returns -1 if that was about to begin.
func limitOf(b []byte, numbers []uint32, mark journal.Mark) (int, error) {
	h, _, _, ok := headOf(b)
	switch {
	case ok && h.number == numbers[0]:
		return h.before, nil
	case len(numbers) > 1, mark.Log >= uint64(numbers[0]), !fresh(b):
		return 0, fmt.Errorf("segment %d has lost its head", numbers[0])
	}
	return -1, nil
}

// replay reads a segment, of which limit bytes count; -1: those that were
// synced.
func (s *Store) replay(number uint32, b []byte, limit int, mark journal.Mark) error {
	synced := max(limit, 0) // so many bytes must be there
	if uint64(number) == mark.Log {
		synced = max(synced, int(mark.Offset))
	}
	if synced > len(b) {
		return fmt.Errorf("it has %d bytes, and %d were synced", len(b), synced)
	}
	h, first, salt, ok := headOf(b)
	if !ok && synced == 0 && number == 1 && fresh(b) {
		return nil // the very first segment was about to begin
	}
	if !ok || h.number != number {
		return errors.New("it has no head")
	}
	if err := s.enter(&h); err != nil {
		return err
	}
	if limit >= 0 {
		b = b[:limit]
	}
	at, err := s.applyAll(number, salt, b, prologueBytes+first.size())
	switch {
	case err != nil:
		return err
	case at < synced, at < len(b) && proven(salt, b, at):
		return fmt.Errorf("byte %d is damaged, and more was synced", at)
	case at < len(b):
		s.log.Info("the Raft log has a torn end, as after a power cut: what follows it was not acknowledged", "segment", number, "byte", at)
	}
	s.active.segment = segment{number: number, salt: salt, bytes: at}
	return nil
}

// enter begins with what the head of a segment says, or compares it with what
// the segment before says.
func (s *Store) enter(h *head) error {
	if s.active.number+1 == h.number && s.meta != nil {
		if !s.equal(&h.state) {
			return errors.New("it does not follow the one before it")
		}
		return nil
	}
	s.state = h.state
	if h.state.first != 0 {
		s.places = make([]place, h.state.last-h.state.first+1)
	}
	return nil
}

// applyAll applies all whole writes from a place of a segment on, and returns
// where they end.
func (s *Store) applyAll(number uint32, salt uint64, b []byte, at int) (end int, err error) {
	for at < len(b) {
		changes, to, err := written(number, salt, b, at)
		if err != nil {
			return at, fmt.Errorf("byte %d: %w", at, err)
		} else if changes == nil {
			break
		}
		for i := range changes {
			if err := s.apply(&changes[i]); err != nil {
				return at, err
			}
		}
		at = to
	}
	return at, nil
}

// fresh reports whether a segment without a head may be one that was about to
// begin: nothing proves that it was synced.
func fresh(b []byte) bool {
	salt, ok := prologue(b)
	return !ok || !proven(salt, b, prologueBytes)
}

// written reads what was written together at a place of a segment, and where
// that ends. It returns nil if it is not whole.
func written(number uint32, salt uint64, b []byte, at int) (changes []change, to int, err error) {
	for to = at; ; {
		f, ok := parse(salt, b, to)
		if !ok || int(f.base) != at {
			return nil, at, nil
		}
		c, err := changeOf(&f)
		if err != nil {
			return nil, at, err
		}
		c.at = place{number, uint32(to), uint32(f.size())}
		changes = append(changes, c)
		to += f.size()
		if f.last {
			return changes, to, nil
		}
	}
}

// roll begins the next segment, which is on the disk when it is used. If it has
// begun, but there is an error, nothing may be written to the one before any
// more: the new one says where that ends, and a later opening may believe it.
func (s *Store) roll() (begun bool, err error) {
	number := s.active.number + 1
	salt := make([]byte, 8)
	_, _ = rand.Read(salt) // never fails
	b := batch{salt: binary.LittleEndian.Uint64(salt), base: uint32(prologueBytes)}
	b.add(change{kind: kindHead}, func(to []byte) []byte { return s.appendHead(to, number, s.active.bytes) })
	content := append(append([]byte(segmentMagic), salt...), b.finish()...)
	file, err := s.fs.Create(s.fs.PathJoin(s.dir, segmentName(number)), category)
	if err != nil {
		return false, err
	}
	if _, err = file.WriteAt(content, 0); err == nil {
		err = cmp.Or(file.Sync(), s.syncDir())
	}
	if err != nil {
		return true, errors.Join(err, file.Close())
	}
	if before := s.active.file; before != nil {
		err = before.Close()
	}
	s.active = active{segment{number, b.salt, len(content)}, file}
	return true, cmp.Or(err, s.noteSynced(), s.synced.Sync())
}

const category = "trackway-raft"

func (s *Store) syncDir() error { return syncDir(s.fs, s.dir) }

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// prune removes segments that hold no entry of the log any more.
func (s *Store) prune() error {
	needed := s.active.number
	for i := range s.places {
		needed = min(needed, s.places[i].segment)
	}
	s.closeReader(needed)
	for ; s.oldest < needed; s.oldest++ {
		err := s.fs.Remove(s.fs.PathJoin(s.dir, segmentName(s.oldest)))
		if err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// closeReader closes the segment that was read last, if it is before those that
// are needed. A removed file is on the disk as long as it is open.
func (s *Store) closeReader(needed uint32) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.reader.file != nil && s.reader.number < needed {
		_ = s.reader.file.Close() // it was read only
		s.reader.file = nil
	}
}

// pruneSoon is [Store.prune], but what cannot be removed is left for the next
// time: it costs room only.
func (s *Store) pruneSoon() {
	if err := s.prune(); err != nil {
		s.log.Warn("a part of the Raft log that is not needed any more was not removed", "err", err)
	}
}

// loadMark reads how far the newest segment was synced. The file is exact after
// the process is killed, and at worst too low after a power cut. A damaged one
// says nothing.
func (s *Store) loadMark() (m journal.Mark, err error) {
	b, err := s.read(syncedName, nil)
	if errors.Is(err, iofs.ErrNotExist) {
		return m, nil
	} else if err != nil {
		return m, err
	}
	m, _ = journal.DecodeMark(b)
	return m, nil
}

// noteSynced notes that the newest segment is synced as far as it goes.
func (s *Store) noteSynced() (err error) {
	m := journal.Mark{Log: uint64(s.active.number), Offset: uint64(s.active.bytes)}
	_, err = s.synced.WriteAt(m.Append(s.mark[:0]), 0)
	return err
}

// makeDir makes a directory, and notes it durably in those above.
func makeDir(fs vfs.FS, dir string) error {
	var above []string
	for at := dir; ; {
		if _, err := fs.Stat(at); err == nil {
			break
		}
		up := fs.PathDir(at)
		if up == at {
			break
		}
		above, at = append(above, up), up
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, up := range slices.Backward(above) {
		if err := syncDir(fs, up); err != nil {
			return err
		}
	}
	return nil
}
