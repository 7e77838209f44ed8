package feed

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// sent lists the customers and events that were sent: identifier, type,
// properties.
func (f *fakeServer) sent() (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.commands {
		c := &f.commands[i]
		one := []string{c.IDs[0].Value}
		if c.Type != "" {
			one = append(one, c.Type)
		}
		for _, p := range c.Properties {
			one = append(one, fmt.Sprintf("%s=%s", p.Name, p.Value))
		}
		all = append(all, strings.Join(one, " "))
	}
	return all
}

func utf16LE(text string) string {
	b := []byte("\xff\xfe")
	for _, unit := range utf16.Encode([]rune(text)) {
		b = append(b, byte(unit), byte(unit>>8))
	}
	return string(b)
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func zstandard(text string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return string(w.EncodeAll([]byte(text), nil))
}

// Text files exist in many dialects. Each is either read completely, or refused
// with a reason that says what to do. None loses anything silently.
func TestDialects(t *testing.T) {
	t.Parallel()
	const (
		csv  = "customer_ids.registered,properties.plan\nu1,pro\nu2,basic\n"
		json = `{"name":"customers","data":{"customer_ids":{"registered":"u1"},"properties":{"plan":"pro"}}}` + "\n" +
			`{"name":"customers","data":{"customer_ids":{"registered":"u2"},"properties":{"plan":"basic"}}}` + "\n"
	)
	with := func(text, ends string) string { return strings.ReplaceAll(text, "\n", ends) }
	both := []string{`u1 plan="pro"`, `u2 plan="basic"`}
	long := csv + strings.Repeat("u1,x\n", 100_000)
	tests := map[string]struct {
		name, text, wrong string
		want              []string
	}{
		"LF":                      {"a.csv", csv, "", both},
		"CR LF":                   {"a.csv", with(csv, "\r\n"), "", both},
		"CR":                      {"a.csv", with(csv, "\r"), "", both},
		"CR, no last break":       {"a.csv", strings.TrimSuffix(with(csv, "\r"), "\r"), "", both},
		"CR behind a LF header":   {"a.csv", "customer_ids.registered\nu7\ru8\r", "", []string{"u7", "u8"}},
		"CR behind a CRLF header": {"a.csv", "customer_ids.registered\r\nu7\ru8\r", "", []string{"u7", "u8"}},
		"CR CR LF":                {"a.csv", with(csv, "\r\r\n"), "", both},
		"blank lines":             {"a.csv", "\n\n" + with(csv, "\n\r\n\r\n") + "\n", "", both},
		"breaks in cells": {
			"a.csv", "customer_ids.registered,properties.plan\r\nu1,\"a\r\nb\"\nu2,\"a\rb\nc\"\r", "",
			[]string{`u1 plan="a\r\nb"`, `u2 plan="a\rb\nc"`},
		},
		"BOM":                    {"a.csv", "\uFEFF" + csv, "", both},
		"BOM and a quote":        {"a.csv", "\uFEFF\"customer_ids.registered\"\nu1\n", "", []string{"u1"}},
		"UTF-16":                 {"a.csv", utf16LE(csv), "UTF-16", nil},
		"UTF-16 of NDJSON":       {"a.ndjson", utf16LE(json), "UTF-16", nil},
		"UTF-16 without a BOM":   {"a.csv", utf16LE(csv)[2:], "UTF-16", nil},
		"UTF-16, compressed":     {"a.csv.gz", gzipped(utf16LE(csv)), "UTF-16", nil},
		"semicolons":             {"a.csv", with(strings.ReplaceAll(csv, ",", ";"), "\n"), "--delimiter", nil},
		"tabs":                   {"a.csv", strings.ReplaceAll(csv, ",", "\t"), "--delimiter", nil},
		"tabs in .tsv":           {"a.tsv", strings.ReplaceAll(csv, ",", "\t"), "", both},
		"commas in .tsv":         {"a.tsv", csv, "--delimiter", nil},
		"a header in Latin-1":    {"a.csv", "customer_ids.registered,pr\xe9nom\nu1,x\n", "UTF-8", nil},
		"NUL in a cell":          {"a.csv", "customer_ids.registered,properties.plan\nu1,a\x00b\n", "", []string{`u1 plan="a\u0000b"`}},
		"an empty file":          {"a.csv", "", "the file is empty", nil},
		"blank lines only":       {"a.csv", "\n\r\n", "the file is empty", nil},
		"a header only":          {"a.csv", "customer_ids.registered\n", "", nil},
		"a spreadsheet":          {"a.csv", "PK\x03\x04\x14\x00", "spreadsheet", nil},
		"Parquet":                {"a.parquet", "PAR1\x15", "Parquet", nil},
		"NDJSON":                 {"a.ndjson", json, "", both},
		"NDJSON with CR LF":      {"a.ndjson", with(json, "\r\n"), "", both},
		"NDJSON with CR":         {"a.ndjson", with(json, "\r"), "", both},
		"NDJSON with a BOM":      {"a.ndjson", "\uFEFF" + json, "", both},
		"NDJSON and blank lines": {"a.ndjson", "\n \n" + with(json, "\n\r\n\n"), "", both},
		"no last break":          {"a.ndjson", strings.TrimSuffix(json, "\n"), "", both},
		"a JSON array":           {"a.ndjson", "[" + strings.TrimSuffix(with(json, ","), ",") + "]", "JSON array", nil},
		"objects over lines":     {"a.ndjson", "{\n \"name\": \"customers\"\n}\n", "several lines", nil},
		"gzip":                   {"a.csv.gz", gzipped(csv), "", both},
		"gzip by another name":   {"a.csv", gzipped(csv), "", both},
		"zstd":                   {"a.ndjson.zst", zstandard(json), "", both},
		"a name that lies":       {"a.csv.gz", csv, "not compressed", nil},
		"gzip, cut off":          {"a.csv.gz", gzipped(csv)[:len(gzipped(csv))-6], "cut off", nil},
		"gzip, cut in the midst": {"a.csv.gz", gzipped(long)[:len(gzipped(long))/2], "cut off", nil},
		"zstd, cut off":          {"a.csv.zst", zstandard(csv)[:len(zstandard(csv))-6], "cut off", nil},
		"gzip of the header":     {"a.csv.gz", gzipped(csv)[:8], "inflate", nil},
		"an empty .gz":           {"a.ndjson.gz", "", "not compressed", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newServer(t)
			r, err := File(t.Context(), write(t, test.name, test.text), Options{Post: f.post})
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want %q in one line", err, test.wrong)
				}
				return
			}
			if err != nil || r.Totals.Refused != 0 {
				t.Fatalf("got %+v, %v", r, err)
			}
			if diff := cmp.Diff(test.want, f.sent()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An import of a file with CR line ends continues at the interruption, and
// still knows the line numbers.
func TestResumeCR(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	f.failAfter = 1
	text := "customer_ids.cookie,event_type,timestamp\r" + strings.Repeat("c,\"t\rt\",1\r", 2000)
	path := write(t, "rows.csv", text+"c,bad,1\r")
	r, err := File(t.Context(), path, Options{Post: f.post})
	if err == nil {
		t.Fatal("it did not fail")
	}
	f.failAfter = -1
	done := r.Totals.Stored
	r = mustFile(t, path, Options{Post: f.post})
	if r.Totals.Stored != 2000 || r.Resumed != 1+2*done || int64(len(f.types())) != 2000 {
		t.Errorf("got %+v after %d rows", r, done)
	}
	if got := rejectsOf(t, r.Rejects); len(got) != 1 || got[0].Line != 4002 {
		t.Errorf("got %+v, want line 4002", got)
	}
}

// An ambiguous header, or one that does not have the requested names, is
// refused, because nobody can tell which column was meant.
func TestAmbiguousHeader(t *testing.T) {
	t.Parallel()
	id := func(more ...string) map[string]string {
		m := map[string]string{"customer_ids.registered": "id"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	tests := map[string]struct {
		header  string
		mapping Mapping
		want    string // of the error; empty: fine
	}{
		"a name twice":                {"id,email,email", Mapping{Map: id("properties.email", "email")}, `"email" is not unique: columns 2 and 3`},
		"an identifier twice":         {"id,id", Mapping{Map: id()}, `"id" is not unique`},
		"a target twice":              {"customer_ids.c,properties.a,properties.a", Mapping{}, "not unique"},
		"a column of texts twice":     {"id,zip,zip", Mapping{Map: id(), String: []string{"zip"}}, "not unique"},
		"twice, but not asked for":    {"id,x,x,", Mapping{Map: id()}, ""},
		"other capitals":              {"id,Email,email", Mapping{Map: id("properties.email", "email")}, ""},
		"capitals of a target":        {"customer_ids.c,Timestamp", Mapping{}, `"Timestamp" has nearly the name`},
		"a space before a target":     {"customer_ids.c, properties.a", Mapping{}, `" properties.a" has nearly the name`},
		"a space before a name":       {"id, email", Mapping{Map: id("properties.email", "email")}, `no column "email", only "id", " email"`},
		"no name":                     {"id,", Mapping{Map: id("properties.x", "")}, "column 2 has no name"},
		"text and JSON":               {"id,x", Mapping{Map: id("properties.x", "x"), String: []string{"x"}, JSON: []string{"x"}}, "text and JSON"},
		"two types":                   {"customer_ids.c,event_type", Mapping{EventType: "e"}, "one of the two"},
		"what a terminal would obey":  {"id,\x1b]0;x\x07", Mapping{Map: id("properties.x", "x")}, `"\x1b]0;x\a"`},
		"what hides":                  {"id,a\u202eb", Mapping{Map: id("properties.x", "x")}, `"a\u202eb"`},
		"one column for two targets":  {"id", Mapping{Map: id("properties.x", "id")}, ""},
		"one column that names a few": {"a|b", Mapping{Map: map[string]string{"customer_ids.c": "a"}}, `the only column is "a|b"`},
		"which is so":                 {"a|b", Mapping{Map: map[string]string{"customer_ids.c": "a|b"}, Delimiter: ","}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newServer(t)
			_, err := File(t.Context(), write(t, "rows.csv", test.header+"\n"), Options{Post: f.post, Mapping: test.mapping})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
