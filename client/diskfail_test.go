package client

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var errForced = errors.New("the disk says no")

// failing opens a queue whose syncs fail as long as the returned switch is on.
func failing(t *testing.T) (d *disk, fail *bool) {
	t.Helper()
	d, err := openDisk(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	fail = new(bool)
	d.force = func(f *os.File) error {
		if *fail {
			return errForced
		}
		return f.Sync()
	}
	return d, fail
}

// No caller gets success before its write is on the disk, however often it
// asks.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	d, fail := failing(t)
	*fail = true
	if err := d.push([]byte("one")); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 { // some share a sync, some come after it
		all.Go(func() {
			for range 3 {
				if err := d.sync(); !errors.Is(err, errForced) || d.synced != 0 {
					t.Errorf("got %v with %d writes on the disk", err, d.synced)
				}
			}
		})
	}
	all.Wait()
	if err := d.push([]byte("two")); err != nil {
		t.Error(err)
	}
	*fail = false
	if err := d.sync(); err != nil || d.synced != 2 {
		t.Errorf("got %v with %d of 2 writes on the disk", err, d.synced)
	}
	if got := drain(t, d); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("got %q", got)
	}
	if err := d.push([]byte("three")); err != nil {
		t.Error(err)
	}
	*fail = true
	if err := d.close(); !errors.Is(err, errForced) {
		t.Errorf("close: got %v", err)
	}
}

// After a failed sync, the next one must have something to write.
func TestSyncRewrites(t *testing.T) {
	t.Parallel()
	d, fail := failing(t)
	*fail = true
	for i := range 3 {
		if err := d.push([]byte(fmt.Sprint("command ", i))); err != nil {
			t.Fatal(err)
		}
		if err := d.sync(); !errors.Is(err, errForced) {
			t.Errorf("got %v", err)
		}
	}
	before, err := os.ReadFile(d.w.Name())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(d.w.Name(), time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	*fail = false
	if err := d.sync(); err != nil {
		t.Error(err)
	}
	if after, err := os.ReadFile(d.w.Name()); err != nil || !bytes.Equal(before, after) || d.spoilt || d.dirty != nil {
		t.Errorf("got %q, %v, want %q", after, err, before)
	}
	if info, err := d.w.Stat(); err != nil || info.ModTime().Equal(time.Unix(1, 0)) {
		t.Errorf("nothing was written again: %v", err)
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
}

// If a sync fails when a new segment begins, one call of Track fails, and later
// calls succeed.
func TestSegmentChangeFails(t *testing.T) {
	t.Parallel()
	d, fail := failing(t)
	large := []byte(strings.Repeat("x", segmentBytes/2))
	var want []string
	for i := range 5 {
		*fail = i == 2 // when the second segment is due
		switch err := d.push(large); {
		case *fail && !errors.Is(err, errForced):
			t.Errorf("got %v, want the disk's error", err)
		case !*fail && err != nil:
			t.Errorf("push %d: %v", i, err)
		case !*fail:
			want = append(want, string(large))
		}
	}
	if got := drain(t, d); !slices.Equal(got, want) {
		t.Errorf("got %d commands, want %d", len(got), len(want))
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
}

// The same if it is the directory that cannot be synced.
func TestDirectorySyncFails(t *testing.T) {
	t.Parallel()
	d, _ := failing(t)
	fail := true
	d.force = func(f *os.File) error {
		if fail && f.Name() == d.dir {
			return errForced
		}
		return f.Sync()
	}
	for range 2 {
		if err := d.begin(7); !errors.Is(err, errForced) {
			t.Errorf("got %v", err)
		}
	}
	fail = false
	if err := d.begin(7); err != nil {
		t.Errorf("the file of an earlier try is in the way: %v", err)
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
}
