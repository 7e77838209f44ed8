package feed

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/control"
)

// from returns options for a vendor's files.
func (f *fakeServer) from(vendor string) Options {
	return Options{From: vendor, Post: func(ctx context.Context, body io.Reader, length int64) (io.ReadCloser, error) {
		query := url.Values{"from": {vendor}, "as_of": {"1000000"}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL+"/import?"+query.Encode(), body)
		if err != nil {
			return nil, err
		}
		req.ContentLength = length
		res, err := f.Client().Do(req)
		if err != nil {
			return nil, err
		}
		if res.StatusCode != http.StatusOK {
			defer res.Body.Close()
			text, _ := io.ReadAll(res.Body)
			return nil, &refusedError{string(text)}
		}
		return res.Body, nil
	}}
}

type refusedError struct{ text string }

func (e *refusedError) Error() string { return e.text }

// The rows of a vendor's CSV file become objects, which the server maps. Cells
// have the types that they have in any CSV file, and may be JSON. The file of
// rejects has the row as it was.
func TestVendorCSV(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	path := write(t, "events.csv", "event,time,distinct_id,total,zip,items,note\n"+
		`buy,1767225600,u1,49.90,01234,"[""a"", {""b"":1}]",`+"\n"+
		`buy,soon,u1,1,,,x`+"\n"+
		`buy,1767225601,u2,,,"[a]",true`+"\n")
	r := mustFile(t, path, f.from("mixpanel"))
	want := []string{
		`u1 buy items=["a",{"b":1}] total=49.90 zip="01234"`,
		`u2 buy items="[a]" note=true`,
	}
	if diff := cmp.Diff(want, f.sent()); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	if r.Totals.Stored != 2 || r.Totals.Refused != 1 {
		t.Errorf("got %+v", r.Totals)
	}
	rejects := rejectsOf(t, r.Rejects)
	wantRow := `{"event":"buy","time":"soon","distinct_id":"u1","total":"1","zip":"","items":"","note":"x"}`
	if len(rejects) != 1 || rejects[0].Line != 3 || rejects[0].Field != "time" || string(rejects[0].Row) != wantRow {
		t.Errorf("got %+v", rejects)
	}
}

// A line may become several commands, which count as one row. If one of them is
// refused, the row counts as refused.
func TestVendorLines(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	path := write(t, "customers.ndjson", `{"ids":{"cookie":"a"},"properties":{"p":1},"events":[{"type":"x","timestamp":1},{"type":"y","timestamp":2}]}`+"\n"+
		"\n"+
		`{"ids":{"cookie":"b"},"properties":{}}`+"\n"+
		`{"ids":{"cookie":"c"},"properties":{},"events":[{"type":"bad","timestamp":1}]}`+"\n"+
		`no JSON`+"\n")
	r := mustFile(t, path, f.from("bloomreach"))
	want := []string{"a p=1", "a x", "a y", "b", "c"}
	if diff := cmp.Diff(want, f.sent()); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	wantTotals := Totals{Lines: 5, Stored: 1, Updates: 1, Refused: 2}
	if diff := cmp.Diff(wantTotals, r.Totals); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	for i, reject := range rejectsOf(t, r.Rejects) {
		if reject.Line != int64(i+4) {
			t.Errorf("got %+v", reject)
		}
	}
}

// One line may become more commands than a batch may have lines. All are
// stored, a bounded number at a time.
func TestVendorLongLine(t *testing.T) {
	t.Parallel()
	const events = 2*control.MaxLines + 1
	f := newServer(t)
	path := write(t, "one.ndjson", `{"ids":{"cookie":"a"},"properties":{},"events":[`+
		strings.TrimSuffix(strings.Repeat(`{"type":"x","timestamp":1},`, events), ",")+"]}\n")
	mustFile(t, path, f.from("bloomreach"))
	if got := len(f.sent()); got != events+1 {
		t.Errorf("%d commands were stored, want %d", got, events+1)
	}
}

// An import continues where it stopped only if it reads the file in the same
// way as before.
func TestVendorIsRemembered(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	f.failAfter = 1
	text := strings.Repeat(`{"ids":{"cookie":"a"},"properties":{}}`+"\n", control.MaxLines+1)
	path := write(t, "customers.ndjson", text)
	if _, err := File(t.Context(), path, f.from("bloomreach")); err == nil {
		t.Fatal("the import succeeded on a broken disk")
	}
	f.failAfter = -1
	if _, err := File(t.Context(), path, f.from("mixpanel")); err == nil || !strings.Contains(err.Error(), "the mapping differs") {
		t.Errorf("got %v", err)
	}
	r := mustFile(t, path, f.from("bloomreach"))
	if r.Resumed != control.MaxLines || len(f.sent()) != control.MaxLines+1 {
		t.Errorf("went on after line %d, and stored %d", r.Resumed, len(f.sent()))
	}
}

// Files skips what an import or an exporter leaves in a folder.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{
		"b/2.gz", "b/1.gz", "b/1.gz.import.json", "b/1.gz.rejects.ndjson", "a.csv", ".hidden", ".git/x", "_SUCCESS", "b/manifest.json",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Files([]string{"-", "missing.csv", dir, filepath.Join(dir, "a.csv")})
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i] = strings.TrimPrefix(got[i], dir+"/")
	}
	want := []string{"-", "missing.csv", "a.csv", "b/1.gz", "b/2.gz", "a.csv"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	if _, err := Files([]string{t.TempDir()}); err == nil {
		t.Error("an empty folder was taken")
	}
}

// The server learns when a vendor's file was last changed, because its
// customers count as of then. Options that have no meaning for the vendor are
// refused.
func TestVendorOptions(t *testing.T) {
	t.Parallel()
	path := write(t, "people.ndjson", "")
	at := time.UnixMicro(1_767_225_600_000_001)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	o := Options{Store: "s", Project: "p", From: "bloomreach", Mapping: Mapping{EventType: "buy"}}
	want := url.Values{"store": {"s"}, "project": {"p"}, "from": {"bloomreach"}, "event_type": {"buy"}, "as_of": {"1767225600000001"}}
	if diff := cmp.Diff(want, o.Query(path)); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	if got := o.Query(Stdin); got.Has("as_of") {
		t.Errorf("the standard input: got %v", got)
	}
	for _, c := range []struct {
		vendor string
		m      Mapping
		good   bool
	}{
		{"", Mapping{EventType: "a", Map: map[string]string{"a": "b"}}, true},
		{"bloomreach", Mapping{EventType: "a"}, true},
		{"bloomreach", Mapping{Map: map[string]string{"a": "b"}}, false},
		{"mixpanel", Mapping{EventType: "a"}, false},
		{"mixpanel", Mapping{Delimiter: ";", String: []string{"a"}}, true},
	} {
		if err := c.m.Fits(c.vendor); (err == nil) != c.good {
			t.Errorf("%s %+v: got %v", c.vendor, c.m, err)
		}
	}
}
