package store

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// TestSalvage: a store whose write-ahead log is damaged reports what is lost,
// stays as it is until a salvage is requested, and then continues with what was
// before the damage.
func TestSalvage(t *testing.T) {
	t.Parallel()
	fs, name, data := killed(t, 3000, 1) // 15 events, the last six in the log
	at := bytes.Index(data, []byte("needle-13-"))
	data[at] ^= 1
	overwrite(t, fs, fs.PathJoin("data", name), data)
	o := Options{FS: fs, Cache: 1 << 20, Fatal: func(err error) { t.Error(err) }}
	refused := func() {
		t.Helper()
		if _, err := Open("data", o); !errors.Is(err, ErrDamagedLog) {
			t.Fatalf("got %v, want that the log is damaged", err)
		}
	}
	refused()
	for _, drop := range []bool{false, false, true} {
		lost, err := Salvage("data", o, drop)
		if err != nil || lost == nil {
			t.Fatal(lost, err)
		}
		if lost.Log != name || lost.Event != 13 || lost.Last != 16 || lost.Records != 2 || lost.Kept == 0 || int(lost.Kept) >= at {
			t.Errorf("got %+v, want two events in %s behind the one that is damaged, and 12 that are kept", lost, name)
		}
		if !drop {
			refused()
		}
	}
	s := openPlain(t, fs)
	defer func() { _ = s.Close() }()
	if n := len(mustEvents(t, s, 1)); n != 12 {
		t.Errorf("%d events are there, want 12", n)
	}
	if r := mustApply(t, s, event("e", 100, nil, cookie1)); r[0].Seq <= 16 {
		t.Errorf("the next event has the number %d, which was given out", r[0].Seq)
	}
	if lost, err := Salvage("data", o, false); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, %v while it is open", lost, err)
	}
}

// TestSalvageDropsLaterLogs: logs after the damaged one are dropped, because
// they may build on what is lost.
func TestSalvageDropsLaterLogs(t *testing.T) {
	t.Parallel()
	last, name, data := killed(t, 10, 0)
	// Make the newest log look like the second of two.
	var number int
	if _, err := fmt.Sscanf(name, "%06d.log", &number); err != nil {
		t.Fatal(err)
	}
	overwrite(t, last, last.PathJoin("data", fmt.Sprintf("%06d.log", number+1)), data)
	o := Options{FS: last, Cache: 1 << 20, Fatal: func(err error) { t.Error(err) }}
	if _, err := Open("data", o); !errors.Is(err, ErrDamagedLog) {
		t.Fatalf("got %v, want that a log that is not the last one has no end", err)
	}
	lost, err := Salvage("data", o, true)
	if err != nil || lost == nil || lost.Log != name || lost.Event != 7 {
		t.Fatalf("got %+v, %v; want the six events of %s kept", lost, err, name)
	}
}

// TestSalvageWholeStore: if nothing is damaged, nothing is lost.
func TestSalvageWholeStore(t *testing.T) {
	t.Parallel()
	fs, _, _ := killed(t, 10, 0)
	for _, drop := range []bool{false, true} {
		lost, err := Salvage("data", Options{FS: fs, Fatal: func(err error) { t.Error(err) }}, drop)
		if lost != nil || err != nil {
			t.Errorf("got %+v, %v, want nothing", lost, err)
		}
	}
	s := openPlain(t, fs)
	defer func() { _ = s.Close() }()
	if s.nextSeq != 8 {
		t.Errorf("the next event has the number %d, want 8", s.nextSeq)
	}
}
