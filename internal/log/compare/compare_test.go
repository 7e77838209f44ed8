package compare

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"trackway/internal/entry"
	"trackway/internal/store/digest"
)

// TestUnreadableMark: a server that cannot tell whether its state was found to
// differ does not start.
func TestUnreadableMark(t *testing.T) {
	t.Parallel()
	mem, broken := vfs.NewMem(), errors.New("the disk is broken")
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpOpen && mem.PathBase(op.Path) == markFile {
			return broken
		}
		return nil
	}))
	for fs, want := range map[vfs.FS]error{mem: nil, fs: broken} {
		if err := Check(fs, "log"); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	d := func(index uint64, effects uint32, content string) digest.Digest {
		return digest.Digest{Index: index, Effects: effects, Whole: effects != 0, Content: content}
	}
	from := func(start uint32, d digest.Digest) digest.Digest { d.From = start; return d }
	all := func(one ...digest.Digest) []digest.Digest { return one }
	for name, c := range map[string]struct {
		members   int
		of        map[string][]digest.Digest
		wrong     string // members
		undecided uint64
		last      uint64
	}{
		"equal":                  {3, map[string][]digest.Digest{"a": all(d(5, 1, "x")), "b": all(d(5, 1, "x")), "c": all(d(5, 1, "x"))}, "", 0, 5},
		"other digests":          {3, map[string][]digest.Digest{"a": all(d(5, 1, "x")), "b": all(d(6, 2, "y")), "c": all(d(7, 3, "z"))}, "", 0, 0},
		"nothing is known":       {3, map[string][]digest.Digest{"a": all(d(5, 0, "")), "b": all(d(5, 0, "")), "c": nil}, "", 0, 0},
		"one content":            {3, map[string][]digest.Digest{"a": all(d(5, 1, "x")), "b": all(d(5, 1, "y")), "c": all(d(5, 1, "x"))}, "b", 0, 5},
		"one effect":             {3, map[string][]digest.Digest{"a": all(d(5, 1, "x")), "b": all(d(5, 1, "x")), "c": all(d(5, 2, "x"))}, "c", 0, 5},
		"one restarted":          {3, map[string][]digest.Digest{"a": all(d(5, 1, "x")), "b": all(d(5, 1, "x")), "c": all(d(5, 0, ""))}, "", 0, 5},
		"one is down":            {3, map[string][]digest.Digest{"a": all(d(5, 1, "x")), "b": all(d(5, 1, "y"))}, "", 5, 5},
		"two members":            {2, map[string][]digest.Digest{"a": all(d(5, 1, "x")), "b": all(d(5, 2, "x"))}, "", 5, 5},
		"all differ":             {3, map[string][]digest.Digest{"a": all(d(5, 1, "x")), "b": all(d(5, 1, "y")), "c": all(d(5, 1, "z"))}, "", 5, 5},
		"two of four":            {4, map[string][]digest.Digest{"a": all(d(5, 1, "")), "b": all(d(5, 1, "")), "c": all(d(5, 2, "")), "d": all(d(5, 2, ""))}, "", 5, 0},
		"two of five":            {5, map[string][]digest.Digest{"a": all(d(5, 1, "")), "b": all(d(5, 1, "")), "c": all(d(5, 2, "")), "d": all(d(5, 2, "")), "e": all(d(5, 1, ""))}, "cd", 0, 5},
		"damaged":                {3, map[string][]digest.Digest{"a": all(d(5, 0, "x")), "b": all(d(5, 0, digest.Damaged)), "c": all(d(5, 0, "x"))}, "b", 0, 5},
		"other parts":            {3, map[string][]digest.Digest{"a": all(from(1, d(5, 1, "x"))), "b": all(from(2, d(5, 1, "y"))), "c": all(from(1, d(5, 1, "x")))}, "", 0, 5},
		"two are damaged":        {3, map[string][]digest.Digest{"a": all(d(5, 0, digest.Damaged)), "b": all(d(5, 0, digest.Damaged)), "c": all(d(5, 0, "x"))}, "", 5, 0},
		"one, in one of several": {3, map[string][]digest.Digest{"a": all(d(5, 1, "x"), d(6, 1, "y")), "b": all(d(5, 1, "x"), d(6, 1, "y")), "c": all(d(5, 1, "x"), d(6, 1, "z"))}, "c", 0, 6},
		"alone":                  {1, map[string][]digest.Digest{"a": all(d(5, 1, "x"))}, "", 0, 0},
	} {
		v := judge(c.members, c.of)
		wrong := ""
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			if v.wrong[id] != 0 {
				wrong += id
			}
		}
		if wrong != c.wrong || v.undecided != c.undecided || v.last != c.last {
			t.Errorf("%s: got %q, %d, %d, want %q, %d, %d", name, wrong, v.undecided, v.last, c.wrong, c.undecided, c.last)
		}
	}
}

// TestMark: a server that was found to differ does not start again until the
// file is gone.
func TestMark(t *testing.T) {
	t.Parallel()
	dir, why := t.TempDir(), Found(7, "Do something.")
	if err := Check(nil, dir); err != nil {
		t.Error(err)
	}
	if err := Mark(nil, dir, why); !errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), "entry 7 says. Do something.") {
		t.Errorf("got %v", err)
	}
	if err := Check(nil, dir); !errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), "Do something.") {
		t.Errorf("it may start: %v", err)
	}
	if err := Mark(nil, filepath.Join(dir, "none"), why); !errors.Is(err, ErrDiffers) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a directory: got %v", err)
	}
}

// machine has digests that a test gives it.
type machine []digest.Digest

func (m machine) Digests() []digest.Digest { return m }
func (machine) Adopt(uint64, []byte)       {}

// TestOrder: the server that leads orders a digest once all members are known,
// at its pace, and soon after one of them has started.
func TestOrder(t *testing.T) {
	t.Parallel()
	m := machine{{Index: 5, Content: "x"}}
	ordered := make(chan entry.Entry, 1)
	add := func(_ context.Context, e entry.Entry) error { ordered <- e; return nil }
	self, other := &Server{ID: "a", Applied: 9}, Server{ID: "b", Start: 1, Applied: 9}
	members := []string{"a", "b"}
	for name, c := range map[string]struct {
		m       machine
		leads   bool
		known   []Server
		members []string
		pace    Pace
		want    bool
	}{
		"another one leads":        {m, false, []Server{other}, members, Pace{}, false},
		"it leads":                 {m, true, []Server{other}, members, Pace{}, true},
		"alone":                    {m, true, nil, members[:1], Pace{}, false},
		"too soon":                 {m, true, []Server{other}, members, Pace{Least: time.Hour}, false},
		"after a start":            {m, true, []Server{other}, members, Pace{Time: time.Hour, Entries: 100}, true},
		"the last one is read":     {machine{{Index: 5}}, true, []Server{other}, members, Pace{Time: time.Hour}, false},
		"the first, one is silent": {nil, true, nil, members, Pace{}, false},
		"another, one is silent":   {m, true, nil, members, Pace{}, true},
		"enough entries":           {m, true, nil, members, Pace{Time: time.Hour, Entries: 4}, true},
		"too few entries":          {m, true, nil, members, Pace{Time: time.Hour, Entries: 5}, false},
	} {
		s := New(c.m, c.pace, slog.New(slog.DiscardHandler))
		s.Order(t.Context(), c.leads, self, c.known, c.members, add)
		s.busy.Lock() // it has ended, and orders no more
		select {
		case <-ordered:
			if !c.want {
				t.Errorf("%s: it has ordered one", name)
			}
		default:
			if c.want {
				t.Errorf("%s: it has ordered none", name)
			}
		}
	}
}
