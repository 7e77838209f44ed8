package store

import (
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/siphash"
	"trackway/internal/store/format"
	"trackway/internal/store/timeline"
	"trackway/internal/store/totals"
)

// TestKeys compares the bytes of every kind of key with docs/format.md. Stores
// on people's disks consist of them: if this test fails, the format has
// changed, and FormatVersion must change.
func TestKeys(t *testing.T) {
	t.Parallel()
	id := trackway.Identifier{Name: "cookie", Value: "a\x00b"}
	tests := map[string]struct {
		got  []byte
		want string
	}{
		"absorbed":  {format.AbsorbedKey(1, 0x0203), "61 0000000000000001 0000000000000203"},
		"customers": {format.AppendCustomerKey(nil, 7, 0x0203), "63 00000007 0000000000000203"},
		"change":    {format.Key(nil).Change(0x0102), "64 0000000000000102"},
		"latest":    {format.Key(nil).Latest(7, 0x0203), "76 00000007 0000000000000203"},
		"cursor":    {format.Key(nil).Cursor("a"), "6d 637572736f722f 61"},
		"erasure":   {format.Key(nil).Erasure(0x0102), "6e 657261737572652f 0000000000000102"},
		"former":    {format.Key(nil).Former(7, id, 9), "66 00000007 636f6f6b6965 00 03 610062 0000000000000009"},
		"ids":       {format.AppendIDKey(nil, 7, id), "69 00000007 636f6f6b6965 00 610062"},
		"log":       {format.AppendLogKey(nil, 0x0102), "6c 0000000000000102"},
		"format":    {[]byte(format.KeyFormat), "6d 666f726d6174"},
		"project":   {format.Key(nil).Project("ab-1"), "6d 70726f6a6563742f 61622d31"},
		"props":     {format.AppendPropKey(nil, 7, "email"), "70 0000000000000007 656d61696c"},
		"usage":     {totals.AppendKey(nil, totals.Day{Project: 7, Day: 20000}), "75 00000007 00004e20"},
		"timeline":  {format.AppendTimelineKey(nil, 7, 1_700_000_000_000_000, 9), "74 0000000000000007 00060a24181e4000 0000000000000009"},
		"timeline, hash": {
			format.AppendTimelineKey(nil, 7, 0, (*timeline.Key)(nil).Hash("purchase", []byte(`{"total":7.99}`))),
			"74 0000000000000007 0000000000000000 fdafc55ef50789c8",
		},
		"hash key": {[]byte(format.KeyHash), "6d 686173686b6579"},
		"timeline, keyed hash": {
			format.AppendTimelineKey(nil, 7, 0, timeline.NewKey([siphash.KeyBytes]byte([]byte("0123456789abcdef"))).Hash("purchase", []byte(`{"total":7.99}`))),
			"74 0000000000000007 0000000000000000 c75334b3a857f5cd",
		},
	}
	for name, test := range tests {
		if got := hex.EncodeToString(test.got); got != strings.ReplaceAll(test.want, " ", "") {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

// goldenStore returns a store that contains every kind of record.
func goldenStore(t *testing.T) *Store {
	t.Helper()
	s := openTest(t)
	mustKey(t, s)
	if n := mustRegister(t, s, "12345678-1234-1234-1234-123456789abc"); n != demo {
		t.Fatal(n)
	}
	mustApply(t, s, event("visit", 300, map[string]string{"n": "1"}, cookie1))
	untimed := event("visit", 400, nil, reg1)
	untimed.TimeGiven = false
	mustApply(t, s, untimed, update(500, map[string]string{"name": `"J"`}, reg1))
	mustApply(t, s, update(600, nil, reg1, cookie1))
	if r := mustApply(t, s, event("visit", 300, map[string]string{"n": "1"}, reg1)); !r[0].Duplicate {
		t.Fatal(r)
	}
	if err := s.Refused(demo, 700, 1); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRecords checks the bytes of every key and record of a small store.
func TestRecords(t *testing.T) {
	t.Parallel()
	s := goldenStore(t)
	if _, err := s.Erase(demo, mustApply(t, s, event("visit", 800, nil, cookie2))[0].Customer, nil, 900); err != nil {
		t.Fatal(err)
	}
	other := identifierOf("registered", "r2")
	mustApply(t, s, update(1000, nil, other, cookie1)) // takes the cookie from its holder
	if err := s.counts.Save(); err != nil {
		t.Fatal(err)
	}
	// A timeline stays only if it has more events than fit into this test, so
	// the test writes the entry by hand.
	if err := s.db.Set(format.AbsorbedKey(1, 2), nil, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	want := `
a 00000000000000010000000000000002 = 
c 000000010000000000000001 = ac02 00 01 00 01  01 0a72656769737465726564 027231 9003
c 000000010000000000000002 = 9003 01 00 00 00
c 000000010000000000000003 = a006 00 00 00 00
c 000000010000000000000004 = e807 00 00 00 02  01 0a72656769737465726564 027232 e807  00 06636f6f6b6965 026331 e807
d 0000000000000006 = 01 02 01
d 000000000000000a = 01 03 03
d 000000000000000b = 01 01 01
d 000000000000000c = 01 04 01
f 00000001636f6f6b6965000263310000000000000001 = 
i 00000001636f6f6b6965006331 = 0000000000000004
i 0000000172656769737465726564007231 = 0000000000000001
i 0000000172656769737465726564007232 = 0000000000000004
l 0000000000000001 = 01 01 ac02 ac02 057669736974 7b226e223a317d
l 0000000000000003 = 01 02 9003 9003 057669736974 7b7d
l 0000000000000005 = 01 01 d804 d804 056d65726765 ` + hex.EncodeToString([]byte(
		`{"absorbed_ids":{"registered":"r1"},"cause_ids":{"registered":"r1","cookie":["c1"]},"survivor_ids":{"cookie":["c1"]}}`)) + `
l 0000000000000008 = 01 03 a006 a006 057669736974 7b7d
m 6170706c696564 = 000000000000000a
m 6572617375726573 = 0000000000000001
m 666f726d6174 = 34
m 686173686b6579 = 30313233343536373839616263646566
m 70726f6a6563742f31323334353637382d313233342d313233342d313233342d313233343536373839616263 = 00000001
n 636f756e746564 = 0000000000000008
n 657261737572652f0000000000000001 = 01 8407 00 00 0a  01 03  01 08 08
p 00000000000000016e616d65 = f403 224a22
s 00000001010000000100000000 = 03 01 07
s 00000001010000000200000000 = 01 05 00
s 00000001020000000100000000 = 03 01 07
s 00000001020000000200000000 = 01 05 00
t 0000000000000001000000000000012cf39e085783b74a9e = 01
t 000000000000000100000000000001900000000000000003 = 03
t 000000000000000100000000000002580000000000000005 = 05 01
t 000000000000000300000000000003209c7b8bc402dff6a3 = 08
u 0000000100000000 = 03 01 01 04 01 00
v 000000010000000000000001 = 0b 01
v 000000010000000000000002 = 06 01
v 000000010000000000000003 = 0a 03
v 000000010000000000000004 = 0c 01
y 000000016d65726765 = 00000002
y 000000017669736974 = 00000001
`
	var got strings.Builder
	got.WriteByte('\n')
	it, err := s.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for it.First(); it.Valid(); it.Next() {
		fmt.Fprintf(&got, "%c %x = %x\n", it.Key()[0], it.Key()[1:], it.Value())
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	want = regexp.MustCompile(`(?m)(= .*)$`).ReplaceAllStringFunc(want, func(record string) string {
		return "= " + strings.ReplaceAll(record[2:], " ", "")
	})
	if diff := gocmp.Diff(strings.Split(want, "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Error(diff)
	}
}

// TestFormatIsDescribed: docs/format.md lists every table of keys.go, and the
// program's version.
func TestFormatIsDescribed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []byte{
		format.TableAbsorbed, format.TableCustomers, format.TableChanges, format.TableFormer, format.TableIDs, format.TableLatest, format.TableLog, format.TableMeta, format.TableNode, format.TableOnce, format.TableProps, format.TableRepeats, format.TableTimeline, format.TableUsage,
		format.TableCounts, format.TableTypes,
	} {
		if heading := fmt.Sprintf("## `%c`", table); !strings.Contains(string(text), heading) {
			t.Errorf("there is no section %q", heading)
		}
	}
	if version := fmt.Sprintf("format version %d", FormatVersion); !strings.Contains(string(text), version) {
		t.Errorf("the page does not speak of %s", version)
	}
}

// TestRecordsRoundTrip: records survive a round trip, and a truncated record is
// refused, not guessed.
func TestRecordsRoundTrip(t *testing.T) {
	t.Parallel()
	h := &identity.Holder{
		Customer: 5, Created: trackway.MaxTime, MergedInto: 3, Properties: 300, Absorbed: 2,
		IDs: []identity.ID{
			{Identifier: trackway.Identifier{Name: "registered", Value: "a\x00b", Hard: true}, Used: 1},
			{Identifier: trackway.Identifier{Name: "cookie", Value: strings.Repeat("c", trackway.MaxIDBytes)}, Used: 1 << 50},
		},
	}
	record := format.AppendHolder(nil, h)
	got, err := format.DecodeHolder(5, record)
	if diff := gocmp.Diff(h, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for i := range record {
		if got, err := format.DecodeHolder(5, record[:i]); err == nil {
			t.Errorf("a holder cut off after %d of %d bytes is read as %v", i, len(record), got)
		}
	}
	e := trackway.Event{
		Seq: 9, Project: 1 << 31, Customer: 1 << 40, Type: "ä \x00", Time: 0, Received: trackway.MaxTime, Properties: []byte(`{"a":1}`),
	}
	record = format.AppendEvent(nil, &e)
	decoded, err := format.DecodeEvent(9, record)
	if diff := gocmp.Diff(e, decoded); diff != "" || err != nil {
		t.Error(err, diff)
	}
	// The properties are last, and reach to the end.
	for i := range len(record) - len(e.Properties) {
		if got, err := format.DecodeEvent(9, record[:i]); err == nil {
			t.Errorf("an event cut off after %d bytes is read as %v", i, got)
		}
	}
	at, value, err := format.SplitDated(format.AppendDated(nil, 1<<50, []byte("null")))
	if at != 1<<50 || string(value) != "null" || err != nil {
		t.Errorf("got %d, %q, %v", at, value, err)
	}
	if _, _, err := format.SplitDated(nil); err == nil {
		t.Error("no bytes at all are a property")
	}
}

// FuzzRecords: no bytes make the decoders panic or read memory outside the
// record.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add(format.AppendHolder(nil, &identity.Holder{Created: 1, IDs: []identity.ID{{Identifier: trackway.Identifier{Name: "n", Value: "v"}}}}))
	f.Add(format.AppendEvent(nil, &trackway.Event{Project: 1, Customer: 2, Type: "t", Properties: []byte("{}")}))
	f.Fuzz(func(t *testing.T, record []byte) {
		if h, err := format.DecodeHolder(1, record); err == nil {
			if again, err := format.DecodeHolder(1, format.AppendHolder(nil, h)); err != nil || gocmp.Diff(h, again) != "" {
				t.Errorf("%v is written and read as %v, %v", h, again, err)
			}
		}
		if e, err := format.DecodeEvent(1, record); err == nil {
			if again, err := format.DecodeEvent(1, format.AppendEvent(nil, &e)); err != nil || gocmp.Diff(e, again) != "" {
				t.Errorf("%v is written and read as %v, %v", e, again, err)
			}
		}
		_, _, _ = format.SplitDated(record)
	})
}

// TestAfter: the range under a prefix contains all keys that begin with it, and
// no others.
func TestAfter(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{"a": "b", "a\xff": "b", "a\x00\xff\xff": "a\x01", "a\xfe": "a\xff"} {
		if got := string(format.After([]byte(prefix))); got != want {
			t.Errorf("after %q: got %q, want %q", prefix, got, want)
		}
	}
}

// TestReopen: a store is the same after it has been closed and opened.
func TestReopen(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustApply(t, s, event("e", 1, map[string]string{"a": "1"}, cookie1), update(2, map[string]string{"p": "1"}, reg1, cookie1))
	if err := s.counts.Save(); err != nil { // as Close would
		t.Fatal(err)
	}
	want := s.mustRead(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, fs)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if diff := gocmp.Diff(want, s.mustRead(t), gocmp.AllowUnexported(contents{}, timelineEntry{})); diff != "" {
		t.Error(diff)
	}
	mustBeConsistent(t, s)
}
