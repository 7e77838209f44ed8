package catalogue

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"trackway"
)

// TestStrangeProperties: a stranger who adds properties to the most frequent
// type takes no place from the properties of the other types, which have been
// there for days. This also holds for a stranger who comes for weeks.
func TestStrangeProperties(t *testing.T) {
	t.Parallel()
	const most = 100
	room := shareOf(most)
	for _, days := range []int{3, mostDays} {
		l := new(fakeLog)
		c := open(t, l, filepath.Join(t.TempDir(), File), most)
		at := began
		var all [50]int
		for range days {
			for i := range room.types {
				properties := ""
				for p := range room.properties / room.types {
					properties += fmt.Sprintf(`"p%c":1,`, 'a'+p)
				}
				for range i + 1 { // the last type is the most frequent one
					l.add(fmt.Sprintf("t%c", 'a'+i), i, at, "{"+properties[:len(properties)-1]+"}")
				}
			}
			at += day
		}
		c.mustLearn(t)
		last := fmt.Sprintf("t%c", 'a'+room.types-1)
		count := func() (n int) {
			v := c.view(at)
			for i := range v.Types {
				n += len(v.Types[i].Properties)
			}
			return n
		}
		before := count()
		strangeDays := 1
		if days == mostDays {
			strangeDays = 2 * mostDays
		}
		for range strangeDays {
			for i := range all {
				l.add(last, 1, at, fmt.Sprintf(`{"strange%c%c":1}`, 'a'+i/26, 'a'+i%26))
			}
			for range 100 { // one that comes more often than all that is real
				l.add(last, 1, at, `{"often":1}`)
				l.add("often", 1, at, `{}`)
			}
			for i := range room.types { // what is real stays
				l.add(fmt.Sprintf("t%c", 'a'+i), 1, at, `{"pa":1}`)
			}
			at += day
		}
		c.mustLearn(t)
		v := c.view(at)
		for i := range room.types {
			one := v.typeOf(t, fmt.Sprintf("t%c", 'a'+i))
			for p := range room.properties / room.types {
				one.propertyOf(t, fmt.Sprintf("p%c", 'a'+p))
			}
		}
		if after := count(); after < before || after > room.properties {
			t.Errorf("after %d days, got %d properties, not %d to %d", days, after, before, room.properties)
		}
	}
}

// TestWaitingProperty: in a project without room, a property of a type that has
// none takes the place of one that was seen less, and is known since it began
// to wait.
func TestWaitingProperty(t *testing.T) {
	t.Parallel()
	const most = 100
	room := shareOf(most)
	l := new(fakeLog)
	c := open(t, l, filepath.Join(t.TempDir(), File), most)
	for i := range room.properties {
		l.add(fmt.Sprintf("junk%d", i%2), 1, began, fmt.Sprintf(`{"x%c%c":1}`, 'a'+i/26, 'a'+i%26))
	}
	for d := range 3 {
		for range 100 {
			l.add("real", 1, began+trackway.Micros(d)*day, `{"page":1}`)
		}
	}
	c.mustLearn(t)
	one := c.view(began+3*day).typeOf(t, "real")
	if page := one.propertyOf(t, "page"); page.FirstSeen != began.Time().Unix() || page.Share != 1 || page.Events != 300 {
		t.Errorf("got %+v", page)
	}
}

// TestExactAfterSkipping: the numbers of a project are estimates if its first
// events may be among those that were skipped.
func TestExactAfterSkipping(t *testing.T) {
	t.Parallel()
	const length = 200_000
	l := new(fakeLog)
	for number := uint64(1); number <= length; number++ {
		e := eventOf(number, "a", 1, began, `{}`)
		if number == run+1 { // behind the first run, so it is skipped
			e.Project, e.Event.Project = 2, 2
		}
		l.changes = append(l.changes, e)
	}
	c := open(t, l, filepath.Join(t.TempDir(), File), 1000)
	second := trackway.Project{Number: 2, Name: "second"}
	c.Reload([]trackway.Project{shop, second})
	c.mustLearn(t)
	e := eventOf(length+1, "a", 1, began, `{}`)
	e.Project, e.Event.Project = 2, 2
	l.changes = append(l.changes, e)
	c.mustLearn(t)
	if v := c.View(2, "second", began.Time(), nil); v.Exact || v.Events != 1 {
		t.Errorf("got %d of 2 events, exact %t", v.Events, v.Exact)
	}
	third := trackway.Project{Number: 3, Name: "third"}
	c.Reload([]trackway.Project{shop, second, third})
	e = eventOf(length+2, "a", 1, began, `{}`)
	e.Project, e.Event.Project = 3, 3
	l.changes = append(l.changes, e)
	c.mustLearn(t)
	if v := c.View(3, "third", began.Time(), nil); !v.Exact || v.Events != 1 {
		t.Errorf("a new project: got %d events, exact %t", v.Events, v.Exact)
	}
}

// TestErasureBeforeStart: examples in the file are not shown after an erasure
// that the file does not know, from the first moment on, and even if the log
// cannot be read.
func TestErasureBeforeStart(t *testing.T) {
	t.Parallel()
	l, path := new(fakeLog), filepath.Join(t.TempDir(), File)
	c := open(t, l, path, 1000)
	for customer := range 200 {
		l.add("a", customer, began, `{"plan":"gold"}`)
	}
	c.mustLearn(t)
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	shown := func(c *Catalogue) int {
		a := c.view(began).typeOf(t, "a")
		return len(a.propertyOf(t, "plan").Examples)
	}
	if n := shown(c); n != 1 {
		t.Fatalf("got %d examples", n)
	}
	half := filepath.Join(filepath.Dir(path), "."+File+".tmp-123") // the process ended during a write
	if err := os.WriteFile(half, []byte("gold"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.erasure++
	if n := shown(New(Options{Log: l, Store: "s", Path: path, Most: 1000, Logger: slog.New(slog.DiscardHandler)})); n != 0 {
		t.Errorf("after the start, got %d examples", n)
	}
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unfinished file is still there: %v", err)
	}
	l.broken = errors.New("input/output error")
	if err := c.step(time.Now()); !errors.Is(err, l.broken) {
		t.Errorf("got %v", err)
	}
	if n := shown(c); n != 0 {
		t.Errorf("the log cannot be read: got %d examples", n)
	}
	if n := shown(open(t, l, path, 1000)); n != 0 {
		t.Errorf("in the file: got %d examples", n)
	}
}

// TestClockSetBack: after a time at which the clock was wrong, the last time
// and the events of the last 24 hours are right again.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	l := new(fakeLog)
	c := open(t, l, filepath.Join(t.TempDir(), File), 1000)
	l.add("a", 1, began, `{"p":1}`)
	l.add("a", 1, began+10_000*day, `{"p":1}`)
	c.mustLearn(t)
	c.view(began + 10_000*day)
	for d := range 3 {
		l.add("a", 1, began+trackway.Micros(d)*day, `{"p":1}`)
	}
	c.mustLearn(t)
	now := began + 2*day
	a := c.view(now).typeOf(t, "a")
	if a.Events24h != 1 || a.LastSeen != now.Time().Unix() || a.propertyOf(t, "p").LastSeen != a.LastSeen || a.Events != 5 {
		t.Errorf("got %+v", a)
	}
	before := c.projects[1].types.known["a"].Days
	for range 50 { // the clocks of two servers, around midnight
		l.add("a", 1, now+day, `{}`)
		l.add("a", 1, now+day-1, `{}`)
	}
	c.mustLearn(t)
	if days := c.projects[1].types.known["a"].Days; days != before+1 {
		t.Errorf("a day counts as %d", days-before)
	}
}
