package history

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
)

var (
	monday  = time.Date(2026, 11, 23, 9, 30, 0, 500, time.FixedZone("", 3600))
	tuesday = monday.Add(24 * time.Hour)
)

func policy(name string, limit uint32) trackway.Policy {
	return trackway.Policy{
		Name: name, Paths: []string{"/b/", "/a/"}, Limit: limit, Window: 30 * time.Second, Per: trackway.PerIP,
		Algorithm: trackway.Fixed, Mode: trackway.Enforce, IPv6Prefix: 64, IPv6Wide: trackway.IPv6Wide{Prefix: 48, Times: 16},
	}
}

func open(t *testing.T, path string) *Log {
	t.Helper()
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func record(t *testing.T, l *Log, now time.Time, overrides []trackway.Override, policies ...trackway.Policy) {
	t.Helper()
	if err := l.Record(now, policies, overrides, Access{}); err != nil {
		t.Fatal(err)
	}
}

// shown returns the changes, the newest first, each on a line.
func shown(l *Log) []string {
	var lines []string
	for _, c := range l.Changes() {
		line := fmt.Sprintf("%s %s %s %s: %s -> %s", c.At.Format(time.RFC3339), c.What, c.Policy, c.For, c.Old, c.New)
		const rest = `"paths":["/a/","/b/"],"limit":`
		lines = append(lines, strings.ReplaceAll(line, rest, ""))
	}
	return lines
}

func TestRecord(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "limits.jsonl")
	l := open(t, path)
	record(t, l, monday, nil, policy("api", 30), policy("grid", 15))
	record(t, l, tuesday, nil, policy("api", 30), policy("grid", 15)) // nothing is different
	reordered := policy("api", 30)
	reordered.Paths = []string{"/a/", "/b/"}
	record(t, l, tuesday, nil, policy("grid", 15), reordered) // nor here

	overrides := []trackway.Override{
		{Policy: "api", Address: netip.MustParsePrefix("203.0.113.0/24"), Limit: 60000, Until: tuesday},
		{Policy: "api", Project: "p", Unlimited: true},
		{Policy: "api", Key: "k"},
	}
	record(t, l, tuesday, overrides, policy("api", 20))
	record(t, l, tuesday.Add(time.Hour), nil, policy("api", 20))
	const tail = `,"per":"ip","algorithm":"fixed","mode":"enforce","also":false,"ipv6_prefix":64,"ipv6_wide":{"prefix":48,"times":16},"window":30}`
	want := []string{
		`2026-11-24T09:30:00Z override api project p: {"unlimited":true} -> null`,
		`2026-11-24T09:30:00Z override api key k: {"limit":0} -> null`,
		`2026-11-24T09:30:00Z override api address 203.0.113.0/24: {"limit":60000,"until":"2026-11-24T08:30:00.0000005Z"} -> null`,
		`2026-11-24T08:30:00Z policy grid : {15` + tail + ` -> null`,
		`2026-11-24T08:30:00Z override api key k: null -> {"limit":0}`,
		`2026-11-24T08:30:00Z override api project p: null -> {"unlimited":true}`,
		`2026-11-24T08:30:00Z override api address 203.0.113.0/24: null -> {"limit":60000,"until":"2026-11-24T08:30:00.0000005Z"}`,
		`2026-11-24T08:30:00Z policy api : {30` + tail + ` -> {20` + tail,
		`2026-11-23T08:30:00Z policy grid : null -> {15` + tail,
		`2026-11-23T08:30:00Z policy api : null -> {30` + tail,
	}
	again := open(t, path)
	if diff := cmp.Diff(want, shown(again)); diff != "" {
		t.Error("after a restart (-want +got):\n" + diff)
	}
	if diff := cmp.Diff(shown(again), nullsWritten(shown(l))); diff != "" {
		t.Error("before it (-want +got):\n" + diff)
	}
	record(t, again, tuesday.Add(48*time.Hour), nil, policy("api", 20))
	if got, want := again.Since("api"), tuesday.UTC().Truncate(time.Second); !got.Equal(want) {
		t.Errorf("since: got %v, want %v", got, want)
	}
	if got := again.Since("never"); !got.IsZero() {
		t.Errorf("since of what never was: got %v", got)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
}

// nullsWritten adds the nulls that a change has only after it was read.
func nullsWritten(lines []string) []string {
	for i, line := range lines {
		line = strings.Replace(line, ":  -> ", ": null -> ", 1)
		if strings.HasSuffix(line, "-> ") {
			line += "null"
		}
		lines[i] = line
	}
	return lines
}

// Wherever the file is cut, the changes in whole lines remain, the rest is put
// aside, and the next change is recorded as usual.
func TestCutFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "limits.jsonl")
	l := open(t, path)
	record(t, l, monday, nil, policy("api", 30))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	record(t, l, tuesday, nil, policy("api", 20))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := []string{string(before) + "\x00\x00\x00"}
	// A missing final line break loses nothing.
	for cut := len(before) + 1; cut < len(whole)-1; cut += 17 {
		damaged = append(damaged, string(whole[:cut]))
	}
	for _, text := range damaged {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, path)
		if len(l.Changes()) != 1 || !slices.Equal(l.Damaged(), []int{2}) {
			t.Fatalf("%q: got %d changes, and the lines %v are damaged; want 1 and the second", text, len(l.Changes()), l.Damaged())
		}
		record(t, l, tuesday, nil, policy("api", 20))
		if got, err := os.ReadFile(path); err != nil || string(got) != string(whole) {
			t.Fatalf("%q: the next change made it %q (%v), want %q", text, got, err, whole)
		}
	}
}

// After a flip of any bit, the log opens, reports the lost line unless it looks
// torn, keeps it aside, and records the configuration in force again.
func TestEveryBit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "limits.jsonl")
	l := open(t, path)
	record(t, l, monday, nil, policy("api", 30))
	record(t, l, tuesday, nil, policy("api", 20), policy("grid", 15))
	original := nullsWritten(shown(l))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(text) {
		if text[i/8] != '\n' && i%61 != 0 {
			continue // the tests of package seal cover checksums
		}
		path := filepath.Join(t.TempDir(), "limits.jsonl")
		flipped := bytes.Clone(text)
		flipped[i/8] ^= 1 << (i % 8)
		if err := os.WriteFile(path, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, path)
		if len(l.Damaged()) == 0 {
			t.Fatalf("bit %d: unnoticed: %q", i, flipped)
		}
		if _, err := os.Stat(path + DamagedSuffix); err != nil {
			t.Fatalf("bit %d: %v", i, err)
		}
		for _, line := range shown(l) {
			if !slices.Contains(original, line) {
				t.Fatalf("bit %d: got %s", i, line)
			}
		}
		record(t, l, tuesday, nil, policy("api", 20), policy("grid", 15))
		again := open(t, path)
		before := len(again.Changes())
		record(t, again, tuesday, nil, policy("api", 20), policy("grid", 15))
		if len(again.Damaged()) > 0 || len(again.Changes()) != before || again.Since("grid").IsZero() {
			t.Fatalf("bit %d: got %q, and %v damaged", i, shown(again), again.Damaged())
		}
	}
}

// A line of another program is put aside with the others.
func TestDamagedLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "limits.jsonl")
	l := open(t, path)
	record(t, l, monday, nil, policy("api", 30))
	for range 2 {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, slices.Concat([]byte("x\n{}\n"), text, []byte("y\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		l = open(t, path)
		if got, want := l.Damaged(), []int{1, 2, 4}; !slices.Equal(got, want) || len(l.Changes()) != 1 {
			t.Errorf("got the lines %v and %d changes, want %v and 1", got, len(l.Changes()), want)
		}
	}
	if text, err := os.ReadFile(path + DamagedSuffix); err != nil || string(text) != "x\n{}\ny\nx\n{}\ny\n" {
		t.Errorf("got %q, %v", text, err)
	}
}

// A change that cannot be written is not recorded. The next attempt records it.
func TestFailedWrite(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "limits.jsonl")
	l := open(t, path)
	record(t, l, monday, nil, policy("api", 30))
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := l.Record(tuesday, []trackway.Policy{policy("api", 20)}, nil, Access{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that there is no such directory", err)
	}
	if err := os.Rename(dir+".gone", dir); err != nil {
		t.Fatal(err)
	}
	if got := open(t, path); len(got.Changes()) != 1 || len(l.Changes()) != 1 {
		t.Errorf("got %d changes in the file and %d in memory, want 1", len(got.Changes()), len(l.Changes()))
	}
	record(t, l, tuesday, nil, policy("api", 20))
	if got := open(t, path).Changes(); len(got) != 2 {
		t.Errorf("got %d changes, want 2", len(got))
	}
}

// However often limits change, the file stays small, and the log still knows
// the configuration in force and its age.
func TestTrim(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "limits.jsonl")
	l := open(t, path)
	l.keep = 10
	removed := []trackway.Override{{Policy: "old", Key: "gone"}}
	record(t, l, monday, removed, policy("old", 1), policy("api", 1))
	for i := range 100 {
		record(t, l, tuesday, nil, policy("old", 1), policy("api", uint32(i+2)))
		if got := len(l.Changes()); got > 2*l.keep+1 {
			t.Fatalf("%d changes are kept", got)
		}
	}
	again := open(t, path)
	if diff := cmp.Diff(nullsWritten(shown(l)), shown(again)); diff != "" {
		t.Error("after a restart (-want +got):\n" + diff)
	}
	if got := again.Since("old"); !got.Equal(monday.UTC().Truncate(time.Second)) {
		t.Errorf("since: got %v, want %v", got, monday)
	}
	before := len(again.Changes())
	record(t, again, tuesday, nil, policy("old", 1), policy("api", 101))
	if got := len(again.Changes()); got != before {
		t.Errorf("what is in force counted as a change: %s", shown(again)[0])
	}
	for _, c := range again.Changes() {
		if c.For == "key gone" {
			t.Error("what was removed long ago is still remembered")
		}
	}
}
