package entry_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trackway"
	"trackway/internal/entry"
)

var update = flag.Bool("update", false, "write the golden files")

// examples holds an entry of each kind. Each field is set in at least one of
// them.
func examples() map[string]entry.Entry {
	jane := trackway.Identifier{Name: "registered", Value: "jane", Hard: true}
	cookie := trackway.Identifier{Name: "cookie", Value: "a\x00b"}
	return map[string]entry.Entry{
		"commands": &entry.Commands{Requests: []entry.Request{
			request(
				trackway.Command{
					Kind: trackway.AddEvent, Project: 7, IDs: []trackway.Identifier{jane, cookie}, Type: "visit", Time: 1_700_000_000_000_000,
					TimeGiven: true, Received: 1_700_000_000_000_001,
					Properties: []trackway.Property{{Name: "page", Value: []byte(`"/"`)}, {Name: "total", Value: []byte("7.99")}},
				},
				trackway.Command{Kind: 0, Project: 7, Received: 1_700_000_000_000_001},
			),
			request(trackway.Command{Kind: trackway.UpdateCustomer, Project: 1<<32 - 1, Anonymous: true, Time: 1, Received: trackway.MaxTime}),
		}},
		"message": &entry.Commands{Requests: []entry.Request{
			request(trackway.Command{
				Kind: trackway.AddEvent, Project: 7, IDs: []trackway.Identifier{cookie}, Type: "visit", Time: 1_700_000_600_000_000,
				TimeGiven: true, TimeVaries: true, Claimed: 1_700_000_000_000_000, Received: 1_700_000_600_000_001,
				Properties: []trackway.Property{{Name: trackway.MessageID, Value: []byte(`"m1"`)}},
			}),
			request(trackway.Command{Kind: trackway.UpdateCustomer, Project: 7, IDs: []trackway.Identifier{cookie}, Unheld: &jane, Time: 1, Received: 1}),
		}},
		"content": &entry.Commands{Carries: true, Requests: []entry.Request{
			{
				Commands: []trackway.Command{
					{Kind: trackway.AddEvent, Project: 7, IDs: []trackway.Identifier{jane}, Type: "visit", Time: 5, TimeGiven: true, Received: 6},
					{Kind: trackway.UpdateCustomer, Project: 7, IDs: []trackway.Identifier{cookie}, Time: 1, Received: 1},
					{Kind: trackway.AddEvent, Project: 7, IDs: []trackway.Identifier{jane}, Type: "visit", Time: 6, Received: 6},
				},
				Contents: []entry.Content{
					{Record: []byte("\x05visit{\"page\":\"/\"}"), Properties: []byte(`{"page":"/"}`), Hash: 0x8000000000000001},
					{},
					{Record: []byte("\x05visit{}"), Properties: []byte("{}")},
				},
				Results: make([]trackway.Result, 3),
			},
			request(trackway.Command{Kind: 0, Project: 7, Received: 1_700_000_000_000_001}),
		}},
		"keyed": &entry.Commands{Carries: true, Requests: []entry.Request{{
			Keyed: true,
			Commands: []trackway.Command{
				{Kind: trackway.AddEvent, Project: 7, IDs: []trackway.Identifier{jane}, Type: "visit", Time: 5, TimeGiven: true, Received: 6},
				{Kind: trackway.AddEvent, Project: 7, IDs: []trackway.Identifier{jane}, Type: "visit", Time: 6, Received: 6},
			},
			Contents: []entry.Content{
				{Record: []byte("\x05visit{}"), Properties: []byte("{}"), Hash: 0x8000000000000001},
				{Record: []byte("\x05visit{}"), Properties: []byte("{}")},
			},
			Results: make([]trackway.Result, 2),
		}}},
		"hashkey": &entry.HashKey{Key: [16]byte([]byte("0123456789abcdef"))},
		"register": &entry.Register{Projects: []entry.Registration{
			{Token: "ab-1", Hard: []string{"registered"}, Soft: []string{"cookie", "phone"}}, {Token: "ab-2"},
		}},
		"refused": &entry.Refused{Project: 7, At: 700, Commands: 300},
		"rewrite": &entry.Rewrite{Project: 7, Customer: 9, Personal: []string{"email"}, Events: []uint64{300, 5}},
		"erase": &entry.Erase{
			Project: 7, Customer: 9, Personal: []string{"email"}, Asked: 900, IDs: []trackway.Identifier{jane, cookie}, Next: 301,
			Continued: true, Customers: []trackway.Customer{9, 3}, Log: []entry.Range{{From: 5, To: 300}},
		},
		"forget": &entry.Forget{Holders: []entry.FormerHolder{{Project: 7, Identifier: cookie, Customer: 3}}},
		"settle": &entry.Settle{Project: 7, Customer: 9, From: 3, To: 4},
		"expire": &entry.Expire{Events: []uint64{1, 2, 300}},
		"cursor": &entry.Cursor{Name: "warehouse", Number: 300},
		"digest": &entry.Digest{After: 300},
		"assign": &entry.Assign{Tokens: []string{"ab-1", "ab-2"}, Wanted: []uint32{300, 0}},
		"once":   &entry.Once{Origin: [16]byte([]byte("0123456789abcdef")), Counter: 1<<40 + 300, Entry: &entry.Expire{Events: []uint64{300}}},
		"notes": &entry.Notes{
			Turn: 300, Cursors: []entry.Cursor{{Name: "destination/out", Number: 301}}, Notes: []trackway.Property{{Name: "a", Value: []byte("b")}, {Name: "c", Value: []byte{}}},
		},
	}
}

func request(cmds ...trackway.Command) entry.Request {
	return entry.Request{Commands: cmds, Results: make([]trackway.Result, len(cmds))}
}

// TestGolden checks the bytes of each kind's encoding. Logs keep entries, and
// servers send them to each other: if this test fails, the version must change.
func TestGolden(t *testing.T) {
	t.Parallel()
	kinds := make(map[entry.Kind]bool)
	for name, e := range examples() {
		kinds[e.Kind()] = true
		path, got := filepath.Join("testdata", name+".hex"), hex.EncodeToString(entry.Append(nil, e))+"\n"
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		encoded, err := hex.DecodeString(strings.TrimSpace(string(want)))
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := entry.Decode(encoded)
		if diff := cmp.Diff(e, decoded); diff != "" || err != nil {
			t.Errorf("%s: %v, decoded (-want): %s", name, err, diff)
		}
	}
	if len(kinds) != int(entry.KindHashKey) {
		t.Errorf("examples of kinds %v only", kinds)
	}
}

// TestDamage: an encoding with a flipped bit, a cut end or something appended
// is not an entry.
func TestDamage(t *testing.T) {
	t.Parallel()
	for name, e := range examples() {
		whole := entry.Append(nil, e)
		for i := range 8 * len(whole) {
			flipped := bytes.Clone(whole)
			flipped[i/8] ^= 1 << (i % 8)
			if e, err := entry.Decode(flipped); !errors.Is(err, entry.ErrCorrupt) {
				t.Errorf("%s with bit %d flipped is %v, %v", name, i, e, err)
			}
		}
		body := whole[:len(whole)-4]
		for i := range body {
			if e, err := entry.Decode(sealed(body[:i])); !errors.Is(err, entry.ErrCorrupt) {
				t.Errorf("%s cut off after %d bytes is %v, %v", name, i, e, err)
			}
		}
		if e, err := entry.Decode(sealed(append(slices.Clip(body), 0))); !errors.Is(err, entry.ErrCorrupt) {
			t.Errorf("%s with a byte behind it is %v, %v", name, e, err)
		}
	}
}

// sealed returns body with its checksum.
func sealed(body []byte) []byte {
	return binary.BigEndian.AppendUint32(slices.Clip(body), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// TestHashesAlike: the hashes of a request are all under the key, or none.
func TestHashesAlike(t *testing.T) {
	t.Parallel()
	e, ok := examples()["keyed"].(*entry.Commands)
	if !ok {
		t.Fatal("there is no example")
	}
	q := &e.Requests[0]
	q.Commands[1].TimeGiven = true
	whole := entry.Append(nil, e)
	if _, err := entry.Decode(whole); err != nil {
		t.Error(err)
	}
	const flagKeyed = 1 << 5
	keyed := 0
	for i, b := range whole {
		if i < 3 || b != 0x10|0x2|flagKeyed { // the flags of a command
			continue
		}
		keyed++
		mixed := bytes.Clone(whole[:len(whole)-4])
		mixed[i] &^= flagKeyed
		if e, err := entry.Decode(sealed(mixed)); !errors.Is(err, entry.ErrCorrupt) {
			t.Errorf("with one hash that is not under the key: got %v, %v", e, err)
		}
	}
	if keyed != 2 {
		t.Errorf("%d hashes were under the key", keyed)
	}
	q.Commands[0].TimeGiven = false
	q.Commands[1].TimeGiven = false
	without := entry.Append(nil, e)
	i := bytes.IndexByte(without[3:], 0x10) + 3
	without[i] |= flagKeyed
	if e, err := entry.Decode(sealed(without[:len(without)-4])); !errors.Is(err, entry.ErrCorrupt) {
		t.Errorf("without hashes, one is under the key: got %v, %v", e, err)
	}
}

// TestTooManyEvents: an entry that would hold up others for too long is
// refused.
func TestTooManyEvents(t *testing.T) {
	t.Parallel()
	most, more := make([]uint64, entry.MaxEvents), make([]uint64, entry.MaxEvents+1)
	for _, c := range []struct {
		most, more entry.Entry
	}{
		{&entry.Expire{Events: most}, &entry.Expire{Events: more}},
		{&entry.Rewrite{Events: most}, &entry.Rewrite{Events: more}},
	} {
		if _, err := entry.Decode(entry.Append(nil, c.most)); err != nil {
			t.Error(err)
		}
		if e, err := entry.Decode(entry.Append(nil, c.more)); !errors.Is(err, entry.ErrCorrupt) {
			t.Errorf("got %v, %v", e, err)
		}
	}
}

// TestRoundTrip: a decoded entry equals the encoded one.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	id := rapid.Custom(func(t *rapid.T) trackway.Identifier {
		return trackway.Identifier{Name: rapid.String().Draw(t, "name"), Value: rapid.String().Draw(t, "value"), Hard: rapid.Bool().Draw(t, "hard")}
	})
	property := rapid.Custom(func(t *rapid.T) trackway.Property {
		return trackway.Property{Name: rapid.String().Draw(t, "name"), Value: []byte(rapid.String().Draw(t, "value"))}
	})
	command := rapid.Custom(func(t *rapid.T) trackway.Command {
		c := trackway.Command{
			Kind:     trackway.Kind(rapid.IntRange(0, 2).Draw(t, "kind")),
			Project:  rapid.Uint32().Draw(t, "project"),
			Received: trackway.Micros(rapid.Int64().Draw(t, "received")),
		}
		if c.Kind == 0 {
			return c
		}
		c.Anonymous, c.TimeGiven = rapid.Bool().Draw(t, "anonymous"), rapid.Bool().Draw(t, "given")
		c.Time, c.Type = trackway.Micros(rapid.Int64().Draw(t, "time")), rapid.String().Draw(t, "type")
		if c.TimeVaries = rapid.Bool().Draw(t, "varies"); c.TimeVaries {
			c.Claimed = trackway.Micros(rapid.Int64().Draw(t, "claimed"))
		}
		if rapid.Bool().Draw(t, "unheld") {
			other := id.Draw(t, "unheld id")
			c.Unheld = &other
		}
		c.IDs, c.Properties = some(t, "ids", id), some(t, "properties", property)
		return c
	})
	rapid.Check(t, func(t *rapid.T) {
		var e entry.Commands
		for range rapid.IntRange(0, 3).Draw(t, "requests") {
			e.Requests = append(e.Requests, request(rapid.SliceOfN(command, 1, 4).Draw(t, "commands")...))
		}
		got, err := entry.Decode(entry.Append(nil, &e))
		if diff := cmp.Diff(entry.Entry(&e), got); diff != "" || err != nil {
			t.Errorf("%v, decoded (-want): %s", err, diff)
		}
	})
}

// some draws a list, nil if it is empty.
func some[T any](t *rapid.T, name string, item *rapid.Generator[T]) []T {
	items := rapid.SliceOfN(item, 0, 3).Draw(t, name)
	if len(items) == 0 {
		return nil
	}
	return items
}

// FuzzDecode: no input makes Decode panic or take much memory, and encoding the
// decoded entry yields the same bytes. The checksum is always made right, so
// that the fuzzer gets past it.
func FuzzDecode(f *testing.F) {
	for _, e := range examples() {
		whole := entry.Append(nil, e)
		f.Add(whole[:len(whole)-4])
	}
	f.Add([]byte("\x01\x0a0123456789abcdef\x01\x0a0123456789abcdef\x01\x09\x00\x00")) // one within another
	f.Add([]byte("\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, body []byte) {
		b := sealed(body)
		e, err := entry.Decode(b)
		if err != nil {
			return
		}
		if again := entry.Append(nil, e); !bytes.Equal(b, again) {
			t.Errorf("%x is read as %+v and written as %x", b, e, again)
		}
	})
}
