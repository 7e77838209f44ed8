package feed

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"trackway"
	"trackway/internal/control"
)

var errDisk = errors.New("the disk is broken")

// fakeServer is an import whose store is a list. It refuses events of type
// "bad". If failAfter is not negative, it fails after it has received that many
// batches.
type fakeServer struct {
	*httptest.Server

	mu        sync.Mutex // guards what follows
	commands  []trackway.Command
	failAfter int
}

func (f *fakeServer) Accept(_ *trackway.Project, _ trackway.Micros, cmds []trackway.Command, results []trackway.Result) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failAfter == 0 {
		return errDisk
	}
	f.failAfter--
	for i := range cmds {
		if cmds[i].Type == "bad" && results[i].Err == nil {
			results[i].Err = &trackway.Error{Code: trackway.Invalid, Field: "event_type", Msg: "Bad."}
		}
		if results[i].Err == nil {
			f.commands = append(f.commands, cmds[i])
		}
	}
	return nil
}

// types lists the types of the events that were received.
func (f *fakeServer) types() (types []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.commands {
		types = append(types, f.commands[i].Type)
	}
	return types
}

func (f *fakeServer) post(ctx context.Context, body io.Reader, length int64) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL+"/import", body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = length
	res, err := f.Client().Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return nil, fmt.Errorf("refused: %s %w", text, err)
}

func newServer(t *testing.T) *fakeServer {
	t.Helper()
	f := &fakeServer{failAfter: -1}
	f.Server = httptest.NewServer(control.Handler(control.Config{
		Ingest: f, Logger: slog.New(slog.DiscardHandler),
		Projects: func() ([]trackway.Project, error) {
			return []trackway.Project{{Number: 1, Name: "shop", Hard: []string{"registered"}, Soft: []string{"cookie"}, User: "registered", Device: "cookie"}}, nil
		},
	}))
	t.Cleanup(f.Close)
	return f
}

// row is a line of a file with an event of the given type.
func row(eventType string) string {
	return fmt.Sprintf(`{"name":"customers/events","data":{"customer_ids":{"cookie":"c"},"event_type":%q,"timestamp":1}}`, eventType)
}

// numbered returns a file with the given number of rows, whose types are
// numbered, and these types.
func numbered(rows int) (text string, types []string) {
	var b strings.Builder
	for n := range rows {
		types = append(types, strconv.Itoa(n))
		b.WriteString(row(types[n]) + "\n")
	}
	return b.String(), types
}

func write(t testing.TB, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustFile(t *testing.T, path string, o Options) Result {
	t.Helper()
	r, err := File(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rejectsOf(t *testing.T, path string) (all []rejected) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var one rejected
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, one)
	}
	return all
}

func TestNDJSON(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	long := strings.Repeat("x", control.MaxLine+1)
	path := write(t, "rows.ndjson", "\uFEFF"+strings.Join([]string{
		row("a"), "", row("bad") + "\r", " \t ", "{not JSON", long, row("b"), `{"name":"customers","data":{"customer_ids":{"cookie":"c"}}}`,
		row("c"), // without a break at the end
	}, "\n"))
	r := mustFile(t, path, Options{Post: f.post})
	want := Result{Totals: Totals{Lines: 9, Stored: 3, Updates: 1, Refused: 3}, Rejects: path + ".rejects.ndjson"}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	if r.Totals.Rows() != 7 {
		t.Errorf("got %d rows, want 7", r.Totals.Rows())
	}
	if diff := cmp.Diff([]string{"a", "b", "", "c"}, f.types()); diff != "" {
		t.Error(diff)
	}
	wantRejects := []rejected{
		{3, "event_type", "Bad.", json.RawMessage(row("bad")), nil},
		{5, "", "Invalid JSON", json.RawMessage(`"{not JSON"`), nil},
		{6, "", "A line may have at most 2097152 bytes.", json.RawMessage("null"), nil},
	}
	if diff := cmp.Diff(wantRejects, rejectsOf(t, r.Rejects)); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(r.Rejects); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v: customers are for their owner's eyes", info.Mode(), err)
	}

	// A file that was imported in full is not imported again until its state is
	// forgotten.
	r = mustFile(t, path, Options{Post: f.post})
	if !r.Before || r.Totals != want.Totals || r.Rejects != want.Rejects {
		t.Errorf("got %+v, want to be told what was done before", r)
	}
	if err := Forget([]string{path, Stdin}, Options{}); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(row("d")), 0o600); err != nil {
		t.Fatal(err)
	}
	if r = mustFile(t, path, Options{Post: f.post}); r.Before || r.Totals.Stored != 1 || r.Rejects != "" {
		t.Errorf("got %+v, want another import", r)
	}
	if _, err := os.Stat(want.Rejects); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the rejects of an earlier import are still there: %v", err)
	}
}

func TestStdin(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	dir := t.TempDir()
	r := mustFile(t, Stdin, Options{Post: f.post, Stdin: strings.NewReader(row("a") + "\n" + row("bad") + "\n"), StateDir: dir})
	if want := (Totals{Lines: 2, Stored: 1, Refused: 1}); r.Totals != want || r.Rejects != filepath.Join(dir, "stdin.rejects.ndjson") {
		t.Errorf("got %+v, want %+v", r, want)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("got %v, %v, want the rejects only", left, err)
	}
}

// squeeze returns a text in each kind of file.
var squeeze = map[string]func(t *testing.T, text string) string{
	"rows.ndjson": func(_ *testing.T, text string) string { return text },
	"rows.ndjson.gz": func(t *testing.T, text string) string {
		t.Helper()
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := io.WriteString(w, text); errors.Join(err, w.Close()) != nil {
			t.Fatal(err)
		}
		return b.String()
	},
	"rows.zst": func(t *testing.T, text string) string {
		t.Helper()
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(w.EncodeAll([]byte(text), nil))
	},
	"rows.csv": func(_ *testing.T, text string) string {
		b := []byte("\uFEFF\"customer_ids.cookie\",event_type,note\n")
		for n := range strings.Count(text, "\n") {
			b = fmt.Appendf(b, "c,%d,\"a note\nof two lines\"\n", n)
		}
		return string(b)
	},
}

// A failed import continues where the server stopped acknowledging. It leaves
// nothing out, and sends nothing again that was acknowledged and noted.
func TestResume(t *testing.T) {
	t.Parallel()
	for name, squeeze := range squeeze {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newServer(t)
			text, types := numbered(5000)
			path := write(t, name, squeeze(t, text))
			var done int
			for round := 0; ; round++ {
				f.mu.Lock()
				f.failAfter = 2
				if round > 3 {
					f.failAfter = -1
				}
				f.mu.Unlock()
				before := done
				r, err := File(t.Context(), path, Options{Post: f.post})
				got := f.types()
				done = int(r.Totals.Stored)
				if done != len(got) {
					t.Fatalf("round %d: %d rows are said to be stored, there are %d", round, done, len(got))
				}
				if err == nil {
					break
				}
				if round > 3 || !strings.Contains(err.Error(), "log") || done <= before {
					t.Fatalf("round %d, behind row %d: %v", round, done, err)
				}
			}
			if got := f.types(); !slices.Equal(got, types) {
				t.Errorf("got %d rows, or in another order, want %d once", len(got), len(types))
			}
		})
	}
}

// Lines are counted through an interruption, and rejects are noted once.
func TestResumeRejects(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	text, _ := numbered(3000)
	path := write(t, "rows.ndjson", row("bad")+"\n"+text+row("bad")+"\n")
	f.failAfter = 1
	if _, err := File(t.Context(), path, Options{Post: f.post}); err == nil {
		t.Fatal("got no error")
	}
	// A kill leaves this state: there are more rejects than the state counts.
	file, err := os.OpenFile(path+rejectsSuffix, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	early := strings.Repeat(`{"line":2,"error":"too early"}`+"\n", 100) // more than the next rejects will overwrite
	if _, err := file.WriteString(early + `{"line":`); errors.Join(err, file.Close()) != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.failAfter = -1
	f.mu.Unlock()
	r := mustFile(t, path, Options{Post: f.post})
	if r.Resumed == 0 || r.Totals.Lines != 3002 || r.Totals.Refused != 2 {
		t.Errorf("got %+v", r)
	}
	var lines []int64
	for _, one := range rejectsOf(t, r.Rejects) {
		lines = append(lines, one.Line)
	}
	if diff := cmp.Diff([]int64{1, 3002}, lines); diff != "" {
		t.Error(diff)
	}
}

// If a refused row cannot be noted, its batch counts as not acknowledged.
func TestRejectsCannotBeWritten(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	text, _ := numbered(control.MaxLines + 10)
	path := write(t, "rows.ndjson", text+row("bad")+"\n")
	inTheWay := path + rejectsSuffix
	r, err := File(t.Context(), path, Options{Post: f.post, Report: func(Status) {
		if err := os.Mkdir(inTheWay, 0o700); err != nil {
			t.Error(err)
		}
	}})
	if want := (Totals{Lines: control.MaxLines, Stored: control.MaxLines}); err == nil || r.Totals != want || r.Rejects != "" {
		t.Fatalf("got %+v, %v", r, err)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	r = mustFile(t, path, Options{Post: f.post})
	if want := (Totals{Lines: control.MaxLines + 11, Stored: control.MaxLines + 10, Refused: 1}); r.Totals != want || len(rejectsOf(t, r.Rejects)) != 1 {
		t.Errorf("got %+v, want %+v", r, want)
	}
}

// If the state belongs to another file, project or mapping, the import stops,
// unless everything is to be imported again.
func TestStateOfAnother(t *testing.T) {
	t.Parallel()
	text, types := numbered(3000)
	tests := map[string]struct {
		change func(t *testing.T, path string, o *Options)
		want   string
	}{
		"nothing": {func(*testing.T, string, *Options) {}, ""},
		"the file": {func(t *testing.T, path string, _ *Options) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text+row("more")), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "file has changed"},
		"the store":   {func(_ *testing.T, _ string, o *Options) { o.Store = "b" }, "another store"},
		"the project": {func(_ *testing.T, _ string, o *Options) { o.Project = "app" }, "project"},
		"the mapping": {func(_ *testing.T, _ string, o *Options) { o.Mapping.EventType = "x" }, "mapping"},
		"the state": {func(t *testing.T, path string, _ *Options) {
			t.Helper()
			if err := os.WriteFile(path+stateSuffix, []byte(`{"offset":7,"old":1}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is damaged"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newServer(t)
			f.failAfter = 1
			path := write(t, "rows.ndjson", text)
			o := Options{Post: f.post, Store: "a"}
			if _, err := File(t.Context(), path, o); err == nil {
				t.Fatal("got no error")
			}
			f.mu.Lock()
			f.failAfter, f.commands = -1, nil
			f.mu.Unlock()
			test.change(t, path, &o)
			_, err := File(t.Context(), path, o)
			if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || !errors.Is(err, errChanged)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if test.want != "" && len(f.types()) != 0 {
				t.Error("rows were sent nevertheless")
			}
			o.Again, o.Project = true, ""
			if r := mustFile(t, path, o); r.Resumed != 0 || r.Totals.Stored < int64(len(types)) {
				t.Errorf("again: got %+v, want all rows", r)
			}
		})
	}
}

// An interrupted import waits for the answers to what was sent, and the next
// import continues exactly after that.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	text, types := numbered(50_000)
	path := write(t, "rows.ndjson", text)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := File(ctx, path, Options{Post: f.post, Report: func(Status) { cancel() }})
	if !errors.Is(err, context.Canceled) || r.Totals.Stored == 0 || r.Totals.Stored == int64(len(types)) {
		t.Fatalf("got %+v, %v, want to be interrupted in the middle", r, err)
	}
	if got := f.types(); int64(len(got)) != r.Totals.Stored {
		t.Errorf("%d rows are stored, and %d are noted", len(got), r.Totals.Stored)
	}
	mustFile(t, path, Options{Post: f.post})
	if got := f.types(); !slices.Equal(got, types) {
		t.Errorf("got %d rows, or in another order, want %d once", len(got), len(types))
	}
}

// A server that goes away leaves an error and a state.
func TestServerGoesAway(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	text, types := numbered(3 * control.MaxLines)
	path := write(t, "rows.ndjson", text)
	var calls atomic.Int32
	r, err := File(t.Context(), path, Options{Post: func(ctx context.Context, body io.Reader, length int64) (io.ReadCloser, error) {
		answer, err := f.post(ctx, body, length)
		if calls.Add(1) < 2 || err != nil {
			return answer, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer, 100), answer}, nil
	}})
	if err == nil || !strings.Contains(err.Error(), "cut off") || r.Totals.Lines >= int64(len(types)) || r.Totals.Lines != r.Totals.Stored {
		t.Errorf("got %+v, %v", r, err)
	}
	resumed := r.Totals.Stored
	f.mu.Lock()
	f.commands = f.commands[:resumed]
	f.mu.Unlock()
	if r := mustFile(t, path, Options{Post: f.post}); r.Totals.Stored != int64(len(types)) || r.Resumed != resumed || !slices.Equal(f.types(), types) {
		t.Errorf("got %+v and %d rows, want an import that goes on behind row %d", r, len(f.types()), resumed)
	}
	refused := func(context.Context, io.Reader, int64) (io.ReadCloser, error) { return nil, errDisk }
	path = write(t, "rows.ndjson", row("a"))
	if _, err := File(t.Context(), path, Options{Post: refused}); !errors.Is(err, errDisk) {
		t.Errorf("got %v, want %v", err, errDisk)
	}
	if _, err := os.Stat(path + stateSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an import that never began left a state: %v", err)
	}
}

// If a batch fails, the batches after it are not stored either, even if the
// server would accept them.
func TestNothingBehindAFailure(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	text, types := numbered(4 * control.MaxLines)
	path := write(t, "rows.ndjson", text)
	bad := row(types[control.MaxLines])
	post := func(ctx context.Context, body io.Reader, length int64) (io.ReadCloser, error) {
		first := make([]byte, len(bad))
		if _, err := io.ReadFull(body, first); err != nil {
			return nil, err
		}
		if string(first) == bad {
			_, err := io.Copy(io.Discard, body)
			return nil, errors.Join(err, errDisk)
		}
		return f.post(ctx, io.MultiReader(bytes.NewReader(first), body), length)
	}
	if r, err := File(t.Context(), path, Options{Post: post}); !errors.Is(err, errDisk) || r.Totals.Stored != control.MaxLines {
		t.Errorf("got %+v, %v", r, err)
	}
	if got := f.types(); !slices.Equal(got, types[:control.MaxLines]) {
		t.Errorf("got %d rows, want those of the first batch", len(got))
	}
	if mustFile(t, path, Options{Post: f.post}); !slices.Equal(f.types(), types) {
		t.Errorf("got %d rows, or in another order, want %d once", len(f.types()), len(types))
	}
}

func TestDamagedFile(t *testing.T) {
	t.Parallel()
	text, _ := numbered(100)
	whole := squeeze["rows.ndjson.gz"](t, text)
	f := newServer(t)
	for name, text := range map[string]string{"cut.gz": whole[:len(whole)-9], "none.gz": "no gzip", "none.zst": "no zstd"} {
		if _, err := File(t.Context(), write(t, name, text), Options{Post: f.post}); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if _, err := File(t.Context(), filepath.Join(t.TempDir(), "absent"), Options{Post: f.post}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
}
