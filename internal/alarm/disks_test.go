package alarm

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/config/alarming"
)

// TestDisks: each file system counts once, under its first folder. One that
// does not answer keeps what it said, and does not keep the others waiting.
func TestDisks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inside := filepath.Join(dir, "inside")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	var d disks
	folders := []string{filepath.Join(dir, "missing"), dir, inside, "/proc"} // the last has no size
	got := d.take(folders)
	if len(got) != 1 || got[0].Folder != dir || got[0].Free == 0 || got[0].Bytes < got[0].Free {
		t.Fatalf("got %+v", got)
	}
	if len(d.looks) != len(folders) {
		t.Errorf("got %d folders", len(d.looks))
	}
	d.take(nil)
	if len(d.looks) != 0 {
		t.Errorf("it remembers %d folders that nobody asks about", len(d.looks))
	}
}

func TestStuckDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck := &look{answer: make(chan *looked, 1), pending: true, last: &looked{disk: disk{"/stuck", 1, 2}, on: fileSystem{blocks: 7}}}
		d := disks{looks: map[string]*look{"/stuck": stuck}}
		dir := t.TempDir()
		began := time.Now()
		got := d.take([]string{"/stuck", dir})
		if len(got) != 2 || got[0] != stuck.last.disk || got[1].Folder != dir || time.Since(began) != patience {
			t.Errorf("got %+v after %v", got, time.Since(began))
		}
		stuck.answer <- nil // at last: it is gone
		if got := d.take([]string{"/stuck", dir}); len(got) != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

// TestSameFileSystem: the size of a file system may change between two looks. A
// folder with a quota has one of its own.
func TestSameFileSystem(t *testing.T) {
	t.Parallel()
	one := fileSystem{syscall.Fsid{X__val: [2]int32{1, 2}}, 1_000_000}
	for _, test := range []struct {
		other fileSystem
		same  bool
	}{
		{fileSystem{one.id, 1_000_000}, true},
		{fileSystem{one.id, 999_000}, true},
		{fileSystem{one.id, 1_001_000}, true},
		{fileSystem{one.id, 100_000}, false},
		{fileSystem{syscall.Fsid{}, 1_000_000}, false},
	} {
		if one.same(test.other) != test.same || test.other.same(one) != test.same {
			t.Errorf("%+v: got %v", test.other, !test.same)
		}
	}
}

// TestUnknownDisk: a disk that has not answered since the start neither rings
// nor ends an alarm.
func TestUnknownDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d disks
		d.looks = map[string]*look{"/stuck": {answer: make(chan *looked, 1), pending: true}}
		got := d.take([]string{"/stuck"})
		if len(got) != 1 || got[0] != (disk{Folder: "/stuck"}) {
			t.Fatalf("got %+v", got)
		}
		s := newStage(t, alarming.UsualOf(alarming.DiskNearlyFull))
		s.set(func() { s.sample.Disks = []disk{{"/stuck", 1e9, 10e9}} })
		s.start()
		pass(20 * time.Minute)
		s.stop()
		s.set(func() { s.sample.Disks = got })
		s.start()
		pass(20 * time.Minute)
		s.want("after a restart, it does not answer", "ringing Disk nearly full: /stuck")
		s.stop()
	})
}

// TestDiskNearlyFull: each disk has an alarm of its own.
func TestDiskNearlyFull(t *testing.T) {
	t.Parallel()
	rules := []alarming.Rule{{Kind: alarming.DiskNearlyFull, Percent: 15}}
	r := &recent{samples: []Sample{{At: time.Now(), DataDir: "/data", Disks: []disk{
		{"/data", 20e9, 100e9}, {"/data/store", 14e9, 100e9}, {"/out", 1e9, 10e9},
	}}}}
	var got []string
	for _, v := range judgeSample(rules, r) {
		if v.bad {
			got = append(got, Headline(v.rule.Kind, v.subject)+": "+v.text)
		}
	}
	want := []string{
		"Disk nearly full: /data/store: The disk of /data/store has 14.0 GB left, which is 14 % of it.",
		"Disk nearly full: /out: The disk of /out has 1.0 GB left, which is 10 % of it.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	r.samples[0].Disks = []disk{{"/data", 14e9, 100e9}}
	if v := judgeSample(rules, r); len(v) != 1 || v[0].subject != "" || v[0].text != "The disk of the data directory has 14.0 GB left, which is 14 % of it." {
		t.Errorf("got %+v", v)
	}
}
