package control

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"trackway"
)

// line is a line of an import with one command.
func line(eventType, id string) string {
	return fmt.Sprintf(`{"name":"customers/events","data":{"customer_ids":{"cookie":%q},"event_type":%q}}`, id, eventType)
}

// numbered returns a batch with the given number of lines, and the texts that
// the fake store keeps of it.
func numbered(lines int) (text string, taken []string) {
	var b strings.Builder
	for n := range lines {
		b.WriteString(line("e", strconv.Itoa(n)) + "\n")
		taken = append(taken, fmt.Sprint("e", n))
	}
	return b.String(), taken
}

func TestImport(t *testing.T) {
	t.Parallel()
	f := newFake()
	body := strings.Join([]string{
		line("a", "1"), line("bad", "2"), "", "no JSON", line("again", "3"), `{"name":"system/time"}`,
		`{"name":"customers","data":{"customer_ids":{"registered":"jane"}}}`, " \t", line("b", "4"), // no line break
	}, "\n")
	s := serve(t, f, 1)
	for _, query := range []string{"", "?store=n", "?project=shop"} {
		f.taken = nil
		status, answer, err := do(t, s, http.MethodPost, "/import"+query, strings.NewReader(body))
		if status != http.StatusOK || err != nil {
			t.Fatalf("got %d, %v: %s", status, err, answer)
		}
		outcomes, err := ReadOutcomes(nil, strings.NewReader(answer), 9)
		if err != nil {
			t.Fatalf("%v: %s", err, answer)
		}
		want := []Outcome{
			{Status: Stored},
			{Status: Refused, Refusal: Refusal{"event_type", "Bad of shop."}},
			{Status: Nothing},
			{Status: Refused, Refusal: Refusal{"", "Invalid JSON"}},
			{Status: Duplicate},
			{Status: Nothing},
			{Status: Updated},
			{Status: Nothing},
			{Status: Stored},
		}
		if diff := cmp.Diff(want, outcomes); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"a1", "jane", "b4"}, f.taken); diff != "" {
			t.Error(diff)
		}
	}
	if status, answer, _ := do(t, s, http.MethodPost, "/import?store=other", strings.NewReader(body)); status != 400 || !strings.Contains(answer, "another store") {
		t.Errorf("got %d %s, want 400", status, answer)
	}
}

// A batch is applied when it is complete, and not at all if it is cut off.
// Senders rely on this to keep the order of batches.
func TestBatchIsCutOff(t *testing.T) {
	t.Parallel()
	f := newFake()
	s := serve(t, f, 1)
	text := line("a", "1") + "\n" + line("b", "2") + "\n"
	body, send := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/import", body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(text))
	ended := make(chan error)
	go func() {
		res, err := s.Client().Do(req)
		if err == nil {
			err = errors.Join(fmt.Errorf("got %s", res.Status), res.Body.Close())
		}
		ended <- err
	}()
	if _, err := io.WriteString(send, text[:len(text)-1]); err != nil {
		t.Fatal(err)
	}
	_ = send.CloseWithError(errDisk)
	if err := <-ended; !errors.Is(err, errDisk) {
		t.Errorf("got %v, want %v", err, errDisk)
	}
	s.Close() // which waits for the handler
	if len(f.taken) != 0 {
		t.Errorf("got %q taken in, want nothing of a batch that was cut off", f.taken)
	}
}

func TestBatchIsBounded(t *testing.T) {
	t.Parallel()
	f := newFake()
	s := serve(t, f, 1)
	text, want := numbered(MaxLines)
	if status, answer, err := do(t, s, http.MethodPost, "/import", strings.NewReader(text)); status != http.StatusOK || err != nil {
		t.Errorf("got %d %s, %v", status, answer, err)
	}
	if !slices.Equal(f.taken, want) {
		t.Errorf("got %d lines taken in, perhaps in another order, want %d", len(f.taken), len(want))
	}
	long := strings.Repeat("x", MaxBatch)
	for name, text := range map[string]string{
		"lines": text + line("e", "1000"), "blank lines": strings.Repeat("\n", MaxLines+1), "bytes": line("e", "0") + "\n" + long,
	} {
		// One body has a known length, the other has not.
		for _, body := range []io.Reader{strings.NewReader(text), iotest.HalfReader(strings.NewReader(text))} {
			f.taken = nil
			status, answer, err := do(t, s, http.MethodPost, "/import", body)
			if status != 400 || err != nil || !strings.Contains(answer, "at most 1000 lines and 3145728 bytes") || len(f.taken) > 0 {
				t.Errorf("%s: got %d %s, %v, with %q taken in", name, status, answer, err, f.taken)
			}
		}
	}
}

func TestImportFails(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.failAfter = 0
	status, answer, err := do(t, serve(t, f, 1), http.MethodPost, "/import", strings.NewReader(line("a", "1")))
	if err != nil || status != http.StatusInternalServerError || !strings.Contains(answer, "log") || strings.Contains(answer, "disk") {
		t.Errorf("got %d %s, %v, want a failure without its cause", status, answer, err)
	}
}

// However a body arrives, its lines are read completely and unchanged.
func TestBatchIsRead(t *testing.T) {
	t.Parallel()
	text, want := numbered(100)
	text += line("e", strings.Repeat("x", 200<<10)) + "\n\n" + line("e", "last")
	want = append(want, "e"+strings.Repeat("x", 200<<10), "elast")
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader, "by halves": iotest.HalfReader, "with its end": iotest.DataErrReader,
	} {
		for _, length := range []int{-1, 0, 1, len(text), 2 * len(text), 2 * MaxBatch} {
			var b batch
			if err := b.read(reader(strings.NewReader(text)), int64(length)); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range b.commands {
				if c.Kind != trackway.Nothing {
					got = append(got, c.Type+c.IDs[0].Value)
				}
			}
			if !slices.Equal(got, want) || len(b.lines) != len(want)+1 {
				t.Errorf("%s, length %d: got %d commands of %d lines", name, length, len(got), len(b.lines))
			}
		}
	}
}

// A batch may be decoded before the batch that precedes it. It is received when
// it is complete, so that it does not seem older.
func TestBatchIsReceived(t *testing.T) {
	t.Parallel()
	var b batch
	text := line("a", "1") + "\n" + `{"name":"customers/events","data":{"customer_ids":{"cookie":"c"},"event_type":"b","age":2}}` + "\n" +
		`{"name":"customers/events","data":{"customer_ids":{"cookie":"c"},"event_type":"c","timestamp":3}}` + "\n" +
		`{"name":"customers","data":{"customer_ids":{"cookie":"c"}}}`
	if err := b.read(strings.NewReader(text), -1); err != nil {
		t.Fatal(err)
	}
	const at = trackway.Micros(5_000_000_000_000_000)
	b.receive(at)
	for i, want := range []trackway.Micros{at, at + 1 - 2e6, 3e6, at + 3} {
		if c := &b.commands[i]; c.Time != want || c.Received != at+trackway.Micros(i) {
			t.Errorf("command %d: got the time %d, received at %d, want %d and %d", i, c.Time, c.Received, want, at+trackway.Micros(i))
		}
	}
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	var r receipts
	for i, step := range []struct {
		now  trackway.Micros
		n    int
		want trackway.Micros
	}{{1000, 500, 1000}, {1100, 10, 1500}, {1510, 1, 1510}, {1510, 0, 1511}, {5_000_000, 2, 5_000_000}, {4_000_001, 1, 4_000_001}, {9_000_000, 1, 9_000_000}} {
		if got := r.next(step.now, step.n); got != step.want {
			t.Errorf("step %d: got %d, want %d", i, got, step.want)
		}
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	want := []Outcome{
		{Status: Stored},
		{Status: Updated, LeftOut: 2},
		{Status: Refused, LeftOut: 1, Refusal: Refusal{"a\"<\n", "Bad."}},
		{Status: Nothing},
	}
	var text []byte
	for i := range want {
		text = want[i].append(text)
	}
	got, err := ReadOutcomes(nil, bytes.NewReader(text), len(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if bytes.Count(text, []byte("\n")) != len(want) {
		t.Errorf("got %q, want a line each", text)
	}
	for cut := range text {
		if got, err := ReadOutcomes(nil, bytes.NewReader(text[:cut]), len(want)); err == nil && cut < len(text)-1 {
			t.Errorf("got %+v of %q", got, text[:cut])
		}
	}
}

// The server, which knows the project's identifiers, turns lines of a vendor's
// export into commands. It refuses unknown vendors.
func TestImportOfVendor(t *testing.T) {
	t.Parallel()
	f := newFake()
	s := serve(t, f, 1)
	body := strings.Join([]string{
		`{"ids":{"cookie":"1"},"properties":{},"events":[{"type":"a","timestamp":1},{"type":"again","timestamp":2}]}`,
		`{"ids":{"cookie":"2"},"properties":{},"events":[{"type":"again","timestamp":1}]}`,
		"",
		`{"ids":{"cookie":"3"},"properties":{},"events":[{"type":"bad","timestamp":1}]}`,
		`{"success":true,"fields":[],"data":[]}`,
		`{"cookie":"4","timestamp":5}`,
	}, "\n")
	status, answer, err := do(t, s, http.MethodPost, "/import?from=bloomreach&event_type=b&as_of=1000000", strings.NewReader(body))
	if status != http.StatusOK || err != nil {
		t.Fatalf("got %d, %v: %s", status, err, answer)
	}
	outcomes, err := ReadOutcomes(nil, strings.NewReader(answer), 6)
	if err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	want := []Outcome{
		{Status: Stored},
		{Status: Duplicate},
		{Status: Nothing},
		{Status: Refused, Refusal: Refusal{"event_type", "Bad of shop."}},
		{Status: Nothing},
		{Status: Stored},
	}
	if diff := cmp.Diff(want, outcomes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1", "a1", "2", "3", "b4"}, f.taken); diff != "" {
		t.Error(diff)
	}
	for query, want := range map[string]string{"from=acme": "bloomreach, mixpanel", "from=mixpanel&as_of=x": "microseconds"} {
		if status, answer, _ := do(t, s, http.MethodPost, "/import?"+query, strings.NewReader(body)); status != 400 || !strings.Contains(answer, want) {
			t.Errorf("%s: got %d %s", query, status, answer)
		}
	}
}
