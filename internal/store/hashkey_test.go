package store

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/entry/version"
	"trackway/internal/siphash"
	"trackway/internal/store/format"
	"trackway/internal/store/prepared"
	"trackway/internal/store/timeline"
)

// mustKnow sends events again, which the store must know, and an event that it
// must not know.
func mustKnow(t *testing.T, s *Store, known ...trackway.Command) {
	t.Helper()
	for i, r := range mustApply(t, s, known...) {
		if !r.Duplicate {
			t.Errorf("event %d is stored twice: %+v", i, r)
		}
	}
	fresh := event("fresh", 5, map[string]string{"n": "1"}, cookie1)
	if r := mustApply(t, s, fresh, fresh); r[0].Duplicate || !r[1].Duplicate {
		t.Errorf("an event that is sent twice: got %+v", r)
	}
	mustBeConsistent(t, s)
}

// TestKeyOfNewStore: a new store gets a key of its own with its first projects,
// and keeps it. A backup has the key, and says that older programs cannot read
// it.
func TestKeyOfNewStore(t *testing.T) {
	t.Parallel()
	var keys []string
	for range 2 {
		fs := vfs.NewCrashableMem()
		s := mustOpen(t, fs)
		if s.Keyed() || dump(t, s)[format.KeyFormat] != "3" {
			t.Error("a store has a key before it has projects")
		}
		mustRegister(t, s, "demo")
		known := event("visit", 7, map[string]string{"a": "1"}, cookie1)
		mustApply(t, s, known)
		mustRegister(t, s, "other")
		all := dump(t, s)
		if len(all[format.KeyHash]) != siphash.KeyBytes || all[format.KeyFormat] != "4" {
			t.Fatalf("got the key %q, and version %q", all[format.KeyHash], all[format.KeyFormat])
		}
		keys = append(keys, all[format.KeyHash])
		b := mustBackup(t, s, 1)
		f, err := fs.Open(fs.PathJoin(b.Path, "backup.json"))
		if err != nil {
			t.Fatal(err)
		}
		var list struct{ Format int }
		if err := errors.Join(json.NewDecoder(f).Decode(&list), f.Close()); err != nil || list.Format != format.Keyed {
			t.Errorf("the backup has version %d (%v)", list.Format, err)
		}
		mustKnow(t, restored(t, fs, b.Path), known)
		after := mustOpen(t, fs.CrashClone(vfs.CrashCloneCfg{})) // without what was not synced
		if dump(t, after)[format.KeyHash] != keys[len(keys)-1] {
			t.Error("a power cut has changed the key")
		}
		mustKnow(t, after, known)
		if err := errors.Join(s.Close(), after.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if keys[0] == keys[1] {
		t.Error("two stores have the same key")
	}
}

// TestNoKeyLater: a store that has events without a key never gets one, and a
// store with a key never gets another.
func TestNoKeyLater(t *testing.T) {
	t.Parallel()
	known := event("visit", 7, map[string]string{"a": "1"}, cookie1)
	for _, keyed := range []bool{false, true} {
		s := openTest(t)
		if keyed {
			mustKey(t, s)
		}
		mustApply(t, s, known)
		before := dump(t, s)
		mustRegister(t, s, "demo")
		if err := s.log.Append(&entry.HashKey{Key: [siphash.KeyBytes]byte{1}}); err != nil {
			t.Fatal(err)
		}
		after := dump(t, s)
		if s.Keyed() != keyed || after[format.KeyHash] != before[format.KeyHash] || after[format.KeyFormat] != before[format.KeyFormat] {
			t.Errorf("with a key %t: the key was %q and is %q", keyed, before[format.KeyHash], after[format.KeyHash])
		}
		mustKnow(t, s, known)
	}
}

// TestHashedBefore: if an event was hashed before the store got its key, or by
// a store that has one, the machine hashes it again, also if the entry carries
// the hash.
func TestHashedBefore(t *testing.T) {
	t.Parallel()
	other := timeline.NewKey([siphash.KeyBytes]byte{9})
	for _, keyed := range []bool{false, true} {
		for _, carries := range []bool{false, true} {
			s := openTest(t)
			var key *timeline.Key
			if keyed {
				mustKey(t, s)
			} else {
				key = other
			}
			c := event("visit", 7, map[string]string{"a": "1"}, cookie1)
			_, content := prepared.Append(nil, &c, key)
			var e entry.Entry = &entry.Commands{Carries: carries, Requests: []entry.Request{{
				Commands: []trackway.Command{c}, Contents: []entry.Content{content}, Keyed: key != nil, Results: make([]trackway.Result, 1),
			}}}
			if carries {
				var err error
				if e, err = entry.Decode(entry.Append(nil, e)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.log.Append(e); err != nil {
				t.Fatal(err)
			}
			want := format.AppendTimelineKey(nil, 1, 7, s.key.Load().Hash("visit", []byte(`{"a":1}`)))
			if _, is := dump(t, s)[string(want)]; !is {
				t.Errorf("keyed %t, carried %t: the event is not at its hash", keyed, carries)
			}
			mustKnow(t, s, c)
		}
	}
}

// TestStoreOfOlder: a store that a program made which knew no keys goes on
// without one, and recognizes its events. The program of f224b17c has written
// testdata/unkeyed: it registered a project and applied these three events.
func TestStoreOfOlder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/unkeyed")); err != nil {
		t.Fatal(err)
	}
	known := []trackway.Command{
		event("visit", 7, map[string]string{"a": "1"}, cookie1), event("visit", 8, nil, reg1), event("visit", 9, map[string]string{"a": "2"}, cookie1, reg1),
	}
	for _, token := range []string{"second", "third"} {
		s, err := Open(dir, Options{Fatal: func(err error) { panic(err) }})
		if err != nil {
			t.Fatal(err)
		}
		mustRegister(t, s, token)
		for i, r := range mustApply(t, s, known...) {
			if !r.Duplicate {
				t.Errorf("event %d is stored twice: %+v", i, r)
			}
		}
		fresh := event("fresh", 5, map[string]string{"token": token}, cookie1)
		mustApply(t, s, fresh)
		known = append(known, fresh)
		mustBeConsistent(t, s)
		all := dump(t, s)
		if _, is := all[format.KeyHash]; s.Keyed() || is || all[format.KeyFormat] != "3" {
			t.Errorf("the store has the key %q, and version %q", all[format.KeyHash], all[format.KeyFormat])
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// unread is a log that other servers share, some of which read no keys.
type unread struct{ Log }

func (u unread) Append(e entry.Entry) error {
	if version.Of(e) == version.Keys {
		return version.ErrNotRead
	}
	return u.Log.Append(e)
}

// TestNoKeyForOlder: if not all servers read keys, the store has none.
func TestNoKeyForOlder(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	s.log = unread{s.log}
	mustRegister(t, s, "demo")
	if all := dump(t, s); s.Keyed() || all[format.KeyFormat] != "3" {
		t.Errorf("got version %q, and the key %q", all[format.KeyFormat], all[format.KeyHash])
	}
	known := event("visit", 7, map[string]string{"a": "1"}, cookie1)
	mustApply(t, s, known)
	mustKnow(t, s, known)
}

// TestKeyIsDamaged: a store whose key is lost is refused. With another hash it
// would store events again.
func TestKeyIsDamaged(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "short", strings.Repeat("l", siphash.KeyBytes+1)} {
		fs := vfs.NewMem()
		s := mustOpen(t, fs)
		mustRegister(t, s, "demo")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		rewrite(t, fs, map[string]string{format.KeyHash: key})
		if _, err := Open("data", Options{FS: fs, Fatal: func(err error) { t.Error(err) }}); !errors.Is(err, format.ErrCorrupt) {
			t.Errorf("with the key %q: got %v", key, err)
		}
	}
}
