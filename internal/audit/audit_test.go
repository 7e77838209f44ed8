package audit

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trackway"
	"trackway/internal/sleep"
)

func newLog(t *testing.T) *Log {
	t.Helper()
	return New(t.TempDir(), slog.New(slog.DiscardHandler))
}

// filled returns a log with entries 1 to n, a day apart, the last one now.
func filled(t *testing.T, n int) *Log {
	t.Helper()
	l := newLog(t)
	for i := range n {
		at := time.Now().Add(-time.Duration(n-1-i) * 24 * time.Hour)
		add(t, l, &Entry{At: at, Actor: "ada", Via: Page, Action: SignIn, Outcome: Allowed, Target: fmt.Sprint("t", i+1)})
	}
	return l
}

func add(t *testing.T, l *Log, e *Entry) {
	t.Helper()
	if err := l.Add(e); err != nil {
		t.Fatal(err)
	}
}

func verify(t *testing.T, l *Log, noted ...string) *Report {
	t.Helper()
	r, err := l.Verify(noted...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func entries(t *testing.T, l *Log, q *Query) (list []string) {
	t.Helper()
	r, err := l.Read(q)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Entries {
		list = append(list, fmt.Sprintf("%d %s %s %s", e.N, e.Action, e.Outcome, e.Target))
	}
	return list
}

func content(t *testing.T, l *Log) []byte {
	t.Helper()
	text, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func put(t *testing.T, l *Log, text []byte) {
	t.Helper()
	if err := os.WriteFile(l.path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAdd(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	long := strings.Repeat("é", 3000)
	add(t, l, &Entry{
		At: time.Date(2026, 11, 30, 10, 0, 0, 123456789, time.FixedZone("", 3600)), Actor: "ada", Via: Page, Action: UserAdd,
		Outcome: Allowed, Target: "joe\nhidden", Address: AddressText(netip.MustParseAddr("::ffff:203.0.113.7")), Detail: long,
	})
	r, err := l.Read(new(Query))
	if err != nil || len(r.Entries) != 1 {
		t.Fatal(r, err)
	}
	e := r.Entries[0]
	if got, want := e.At.Format(time.RFC3339Nano), "2026-11-30T09:00:00.123Z"; got != want {
		t.Errorf("at: got %s, want %s", got, want)
	}
	if e.N != 1 || e.Target != "joe hidden" || e.Address != "203.0.113.7" || len(e.Detail) > maxDetail+3 || !strings.HasPrefix(long, strings.TrimSuffix(e.Detail, "…")) {
		t.Errorf("got %+v", e)
	}
	info, err := os.Stat(l.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	if r := verify(t, l); !r.Good() || r.Entries != 1 || !r.Anchored {
		t.Errorf("got %+v", r)
	}
}

// TestNil checks that a log that is not there lets everything happen.
func TestNil(t *testing.T) {
	t.Parallel()
	var l *Log
	l.Note(new(Entry))
	l.SignInFailed(Failure{})
	l.KeepFor(time.Hour)
	done := false
	if err := errors.Join(l.Run(t.Context()), l.Trim(time.Now()), l.Do(new(Entry), func() error { done = true; return nil })); err != nil || !done {
		t.Errorf("got %v", err)
	}
}

// TestTampering changes a good file in many ways, and expects the line that is
// wrong. Line 0 means that the end is missing.
func TestTampering(t *testing.T) {
	t.Parallel()
	lines := func(text []byte) [][]byte {
		return bytes.SplitAfter(text, []byte("\n"))[:bytes.Count(text, []byte("\n"))]
	}
	for name, c := range map[string]struct {
		change func(text []byte) []byte
		line   int
	}{
		"a changed actor": {func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"ada","via":"page","action":"session.sign-in","target":"t3"`), []byte(`"joe","via":"page","action":"session.sign-in","target":"t3"`), 1)
		}, 3},
		"a removed line":       {func(b []byte) []byte { l := lines(b); return bytes.Join(slices.Delete(l, 1, 2), nil) }, 2},
		"the first removed":    {func(b []byte) []byte { return bytes.Join(lines(b)[1:], nil) }, 1},
		"two in another order": {func(b []byte) []byte { l := lines(b); l[2], l[3] = l[3], l[2]; return bytes.Join(l, nil) }, 3},
		"a line twice":         {func(b []byte) []byte { l := lines(b); return bytes.Join(slices.Insert(l, 2, l[1]), nil) }, 3},
		"an empty line":        {func(b []byte) []byte { l := lines(b); return bytes.Join(slices.Insert(l, 2, []byte("\n")), nil) }, 3},
		"a white space":        {func(b []byte) []byte { return bytes.Replace(b, []byte(`,"target":"t4"`), []byte(`, "target":"t4"`), 1) }, 4},
		"the last one removed": {func(b []byte) []byte { l := lines(b); return bytes.Join(l[:4], nil) }, 0},
		"all removed":          {func([]byte) []byte { return nil }, 0},
		"half of the last one": {func(b []byte) []byte { return b[:len(b)-50] }, 5},
		"a long line":          {func(b []byte) []byte { return append(bytes.Repeat([]byte("x"), 3*maxLine), b...) }, 1},
		"a flipped bit":        {func(b []byte) []byte { b[len(lines(b)[0])+30] ^= 1; return b }, 2},
		"another last one": {func(b []byte) []byte {
			l := lines(b)
			before, sum, _ := parse(bytes.TrimSuffix(l[3], []byte("\n")))
			forged := before
			forged.N++
			forged.Actor = "joe"
			text, _ := appendLine(nil, sum, &forged)
			return append(bytes.Join(l[:4], nil), text...)
		}, 5},
		"another beginning": {func(b []byte) []byte {
			l := lines(b)
			_, sum, _ := parse(bytes.TrimSuffix(l[1], []byte("\n")))
			text, _ := appendLine(nil, "", &line{Entry: Entry{N: 3, Action: Trimmed}, Prev: sum})
			return bytes.Join(append([][]byte{text}, l[2:]...), nil)
		}, 2},
		"another beginning in the middle": {func(b []byte) []byte {
			l := lines(b)
			_, sum, _ := parse(bytes.TrimSuffix(l[1], []byte("\n")))
			text, _ := appendLine(nil, sum, &line{Entry: Entry{N: 3, Action: Trimmed}, Prev: sum})
			return bytes.Join(slices.Insert(l, 2, text), nil)
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := filled(t, 5)
			good := content(t, l)
			changed := c.change(bytes.Clone(good))
			if bytes.Equal(good, changed) {
				t.Fatal("nothing was changed")
			}
			put(t, l, changed)
			r := verify(t, l)
			if r.Good() || r.Line != c.line {
				t.Errorf("got %+v, want line %d", r, c.line)
			}
			add(t, l, &Entry{Action: ServerStart}) // the log goes on, and what was wrong stays so, or is noted
			if r := verify(t, l); r.Good() && !strings.Contains(string(content(t, l)), string(Repaired)) {
				t.Error("the next entry hides it")
			}
		})
	}
}

// TestForgery checks that a whole forged file is found by what was noted.
func TestForgery(t *testing.T) {
	t.Parallel()
	l := filled(t, 3)
	r := verify(t, l)
	noted := fmt.Sprintf("%d:%s", r.Last, r.Sum)
	if r := verify(t, l, noted); !r.Good() {
		t.Errorf("got %+v", r)
	}
	if err := errors.Join(os.Remove(l.path), os.Remove(l.path+anchorSuffix)); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, l, noted); r.Missing == "" {
		t.Errorf("got %+v", r)
	}
	for range 4 {
		add(t, l, &Entry{Actor: "joe", Action: SignIn})
	}
	if r := verify(t, l); !r.Good() {
		t.Errorf("got %+v", r)
	}
	if r := verify(t, l, noted); r.Good() || r.Line != 3 {
		t.Errorf("got %+v", r)
	}
	for _, wrong := range []string{"", "3", "3:12", "x:" + r.Sum, "0:" + r.Sum} {
		if _, err := l.Verify(wrong); !errors.Is(err, ErrPlace) {
			t.Errorf("%q: got %v", wrong, err)
		}
	}
}

// TestTorn cuts the file at every byte of its last line, as a kill or a power
// cut may. The next entry says so, and everything follows.
func TestTorn(t *testing.T) {
	t.Parallel()
	l := filled(t, 2)
	whole := content(t, l)
	first := bytes.IndexByte(whole, '\n') + 1
	if err := os.Remove(l.path + anchorSuffix); err != nil { // it is not there if the power was cut
		t.Fatal(err)
	}
	for _, cut := range []int{1, first - 1, first, first + 1, len(whole) - 70, len(whole) - 1, len(whole)} {
		put(t, l, whole[:cut])
		_ = os.Remove(l.path + anchorSuffix)
		add(t, l, &Entry{Action: ServerStart, Outcome: Done})
		kept := bytes.Count(whole[:cut], []byte("\n"))
		torn := cut > 0 && whole[cut-1] != '\n'
		want := kept + 1
		if torn {
			want++
		}
		r := verify(t, l)
		if !r.Good() || r.Entries != uint64(want) {
			t.Errorf("cut at %d: got %+v, want %d entries", cut, r, want)
		}
		if got := bytes.Contains(content(t, l), []byte(Repaired)); got != torn {
			t.Errorf("cut at %d: repair is noted: %v", cut, got)
		}
	}
}

// TestTrim checks that what is left follows the first line, and that removed
// lines cannot be put back in silence.
func TestTrim(t *testing.T) {
	t.Parallel()
	l := filled(t, 10)
	before := content(t, l)
	l.KeepFor(4*24*time.Hour + time.Hour)
	trim := func(now time.Time) {
		t.Helper()
		if err := l.Trim(now); err != nil {
			t.Fatal(err)
		}
	}
	trim(time.Now())
	if got := entries(t, l, new(Query)); len(got) != 6 || got[4] != "6 session.sign-in allowed t6" || got[5] != "5 audit.trim done " {
		t.Errorf("got %q", got)
	}
	if r := verify(t, l); !r.Good() || !r.Removed || r.Entries != 5 || r.First != 6 || r.Last != 10 {
		t.Errorf("got %+v", r)
	}
	after := content(t, l)
	trim(time.Now().Add(20 * time.Hour)) // less than a day after: the file is not written again
	if !bytes.Equal(after, content(t, l)) {
		t.Error("the file has changed")
	}
	add(t, l, &Entry{Action: ServerStop, Outcome: Done})
	if r := verify(t, l); !r.Good() || r.Last != 11 {
		t.Errorf("got %+v", r)
	}
	trim(time.Now().Add(400 * 24 * time.Hour)) // everything
	if got := entries(t, l, new(Query)); len(got) != 1 || got[0] != "11 audit.trim done " {
		t.Errorf("got %q", got)
	}
	add(t, l, &Entry{Action: ServerStop, Outcome: Done})
	if r := verify(t, l); !r.Good() || r.Entries != 1 || r.First != 12 {
		t.Errorf("got %+v", r)
	}
	info, err := os.Stat(l.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	put(t, l, before)
	if r := verify(t, l); r.Missing == "" {
		t.Errorf("got %+v", r)
	}
}

// TestTrimTampered checks that removing old entries does not hide that they
// were changed.
func TestTrimTampered(t *testing.T) {
	t.Parallel()
	l := filled(t, 10)
	put(t, l, bytes.Replace(content(t, l), []byte(`"target":"t3"`), []byte(`"target":"tX"`), 1))
	l.KeepFor(4*24*time.Hour + time.Hour)
	if err := l.Trim(time.Now()); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, l); !r.Good() || !bytes.Contains(content(t, l), []byte("1 of them did not follow")) {
		t.Errorf("got %+v: %s", r, content(t, l))
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	l := filled(t, 5)
	add(t, l, &Entry{Actor: "joe", Action: DataExport, Outcome: Allowed, Target: "customer 1"})
	now := time.Now()
	for name, c := range map[string]struct {
		q    Query
		want string
		next uint64
	}{
		"all":          {Query{}, "6 5 4 3 2 1", 0},
		"an actor":     {Query{Actor: "joe"}, "6", 0},
		"an action":    {Query{Actions: []string{"data.export"}}, "6", 0},
		"a group":      {Query{Actions: []string{"session"}}, "5 4 3 2 1", 0},
		"two":          {Query{Actions: []string{"session.sign-in", "data"}}, "6 5 4 3 2 1", 0},
		"no prefix":    {Query{Actions: []string{"sess"}}, "", 0},
		"the newest":   {Query{Limit: 2}, "6 5", 5},
		"the next":     {Query{Limit: 2, Before: 5}, "4 3", 3},
		"the last":     {Query{Limit: 2, Before: 3}, "2 1", 0},
		"since":        {Query{Since: now.Add(-36 * time.Hour)}, "6 5 4", 0},
		"until":        {Query{Until: now.Add(-36 * time.Hour)}, "3 2 1", 0},
		"since, until": {Query{Since: now.Add(-60 * time.Hour), Until: now.Add(-36 * time.Hour)}, "3", 0},
	} {
		r, err := l.Read(&c.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range r.Entries {
			got = append(got, strconv.FormatUint(e.N, 10))
		}
		if strings.Join(got, " ") != c.want || r.Next != c.next {
			t.Errorf("%s: got %q, next %d; want %q, %d", name, got, r.Next, c.want, c.next)
		}
	}
	put(t, l, append(content(t, l), "rubbish\nmore"...))
	if r, err := l.Read(&Query{}); err != nil || len(r.Entries) != 6 || r.Unreadable != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	if r, err := newLog(t).Read(&Query{}); err != nil || len(r.Entries) != 0 {
		t.Errorf("no file: got %+v, %v", r, err)
	}
}

// TestBackward compares with a simple reader, for lines of many lengths.
func TestBackward(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, 1, 100, 65535, 65536, 65537, 200_000} {
		text := fmt.Sprintf("first\n\n%s\nlast\ntorn", strings.Repeat("x", min(length, maxLine)))
		text = strings.Repeat("some line\n", length/10) + text
		var got []string
		err := backward(strings.NewReader(text), int64(len(text)), func(line []byte, from int64) bool {
			if !strings.HasPrefix(text[from:], string(line)+"\n") {
				t.Errorf("%d: %q is not at %d", length, line, from)
			}
			got = append(got, string(line))
			return true
		})
		want := strings.Split(text, "\n")
		want = want[:len(want)-1]
		slices.Reverse(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d: got %d lines, want %d (%v)", length, len(got), len(want), err)
		}
	}
}

// TestUnwritable checks what happens while the file cannot be written: what
// needs an entry is not done, the rest is noted later.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	l := filled(t, 1)
	aside := l.path + ".aside"
	if err := errors.Join(os.Rename(l.path, aside), os.Mkdir(l.path, 0o700)); err != nil {
		t.Fatal(err)
	}
	err := l.Do(&Entry{Action: DataExport}, func() error { t.Error("it was done"); return nil })
	if known, ok := errors.AsType[*trackway.Error](err); !ok || known.Code != trackway.Overloaded {
		t.Errorf("got %v", err)
	}
	l.Note(&Entry{Action: SignOut})
	l.Note(&Entry{Action: ConfigReload})
	l.SignInFailed(Failure{User: "ada", Address: netip.MustParseAddr("203.0.113.7")})
	if err := errors.Join(os.Remove(l.path), os.Rename(aside, l.path)); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("no")
	if err := l.Do(&Entry{Action: DataExport, Outcome: Allowed}, func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	want := []string{"5 data.export failed ", "4 data.export allowed ", "3 session.refused refused ada", "2 audit.missed done ", "1 session.sign-in allowed t1"}
	if got := entries(t, l, new(Query)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if text := string(content(t, l)); !strings.Contains(text, `"count":2`) || !strings.Contains(text, "the last one: config.reload") {
		t.Error(text)
	}
	if r := verify(t, l); !r.Good() {
		t.Errorf("got %+v", r)
	}
}

// TestFailures checks that a crowd of strangers makes one entry of a bounded
// length, and none with what they have typed.
func TestFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		go func() { _ = l.Run(t.Context()) }()
		for i := range 10_000 {
			user := ""
			if i%100 == 0 {
				user = fmt.Sprint("user", i%3)
			}
			l.SignInFailed(Failure{User: user, Address: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})})
		}
		l.SignInFailed(Failure{Address: netip.MustParseAddr("2001:db8::1")})
		_ = sleep.For(t.Context(), 5*time.Minute)
		if got := entries(t, l, new(Query)); len(got) != 0 {
			t.Errorf("too early: %q", got)
		}
		_ = sleep.For(t.Context(), 7*time.Minute)
		r, err := l.Read(new(Query))
		if err != nil || len(r.Entries) != 1 {
			t.Fatal(r, err)
		}
		e := r.Entries[0]
		if e.Count != 10_001 || len(e.Detail) > 600 || !strings.Contains(e.Detail, "user0 (34), user1 (33), user2 (33), names that nobody has, or none (9901)") ||
			!strings.Contains(e.Detail, "from 10.0.0.0 (1), ") || !strings.Contains(e.Detail, "others (9993)") {
			t.Errorf("got %+v", e)
		}
		_ = sleep.For(t.Context(), time.Hour)
		if got := entries(t, l, new(Query)); len(got) != 1 {
			t.Errorf("got %q", got)
		}
	})
}

// TestProcesses has several processes write at once, while old entries are
// removed.
func TestProcesses(t *testing.T) {
	const variable, processes, each = "AUDIT_TEST_DIR", 4, 25
	if dir := os.Getenv(variable); dir != "" { //nolint:forbidigo // the process of the test is a child of itself
		l := New(dir, slog.New(slog.DiscardHandler))
		for range each {
			add(t, l, &Entry{Actor: strconv.Itoa(os.Getpid()), Action: KeyAdd, Outcome: Allowed})
		}
		return
	}
	t.Parallel()
	l := filled(t, 10)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for range processes {
		running.Go(func() {
			c := exec.CommandContext(t.Context(), program, "-test.run=^TestProcesses$")
			c.Env = append(os.Environ(), variable+"="+filepath.Dir(l.path))
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	l.KeepFor(100 * time.Hour)
	for i := range 20 {
		if err := l.Trim(time.Now().Add(time.Duration(i) * time.Hour)); err != nil {
			t.Error(err)
		}
		add(t, l, &Entry{Action: KeyRotate, Outcome: Allowed})
	}
	running.Wait()
	if r := verify(t, l); !r.Good() || r.Last != 10+20+processes*each {
		t.Errorf("got %+v", r)
	}
}

// TestReadGoesOn checks that a query which has looked at as many entries as it
// may finds the older ones when it goes on.
func TestReadGoesOn(t *testing.T) {
	t.Parallel()
	const entries, most = 10, 3
	l := New(t.TempDir(), slog.New(slog.DiscardHandler))
	for i := range entries {
		actor := "joe"
		if i == 0 {
			actor = "ada"
		}
		if err := l.Add(&Entry{Actor: actor, Via: Page, Action: SignIn, Outcome: Allowed}); err != nil {
			t.Fatal(err)
		}
	}
	q := &Query{Actor: "ada", Limit: 1}
	for range entries {
		r, err := l.read(q, most)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Entries) > 0 {
			return
		}
		q.Before = r.Next
	}
	t.Errorf("the first entry is not found, at %d", q.Before)
}
