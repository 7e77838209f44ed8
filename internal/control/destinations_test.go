package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"trackway/internal/destination"
	"trackway/internal/destination/suggest"
	"trackway/internal/destination/verify"
)

var errDown = errors.New("connection refused")

// fakeDestinations has a destination "lake" that works, and a destination
// "warehouse" that is down.
type fakeDestinations struct{ done []string }

func (f *fakeDestinations) do(what, name string) error {
	f.done = append(f.done, strings.TrimSpace(what+" "+name))
	switch name {
	case "lake":
		return nil
	case "warehouse":
		return errDown
	}
	return fmt.Errorf("%q: %w", name, destination.ErrUnknown)
}

func (f *fakeDestinations) List() []destination.Status {
	return []destination.Status{
		{Name: "lake", Kind: "file", State: destination.Running, Position: 7, Success: time.Unix(1_790_000_000, 5), Error: "of yesterday"},
		{Name: "warehouse", Kind: "postgres", State: destination.Retrying, LagEvents: 7, Lag: 90 * time.Second, Error: "connection refused"},
	}
}

func (f *fakeDestinations) Check(_ context.Context, name string) error { return f.do("check", name) }

func (f *fakeDestinations) Pause(name string) error { return f.do("pause", name) }

func (f *fakeDestinations) Resume(name string) error { return f.do("resume", name) }

func (f *fakeDestinations) Rewind(_ context.Context, name, to string) (uint64, error) {
	return 5, f.do("rewind "+to, name)
}

func (f *fakeDestinations) Rejects(name string) ([]destination.Reject, error) {
	if err := f.do("rejects", name); err != nil {
		return nil, err
	}
	return []destination.Reject{{Number: 3, Table: "events", Reason: "too long"}}, nil
}

func (f *fakeDestinations) verify(_ context.Context, v Verification) (*verify.Report, error) {
	if v.From == 9 {
		v.Progress(5, 7)
		return nil, errDown
	}
	if err := f.do(fmt.Sprint("verify ", v.From, v.Mend), v.Name); err != nil {
		return nil, err
	}
	v.Progress(5, 7)
	v.Progress(7, 7)
	return &verify.Report{Through: 7}, nil
}

func (f *fakeDestinations) suggest(_ context.Context, name string, events int, share float64) (*suggest.Proposal, error) {
	if err := f.do(fmt.Sprint("suggest ", events, share), name); err != nil {
		return nil, err
	}
	var s suggest.Sample
	s.Add("buy", []byte(`{"total":1.5}`))
	return s.Propose(share), nil
}

func (f *fakeDestinations) mirrors(context.Context) ([]Mirrored, error) {
	return []Mirrored{{Name: "old", Project: "shop", LagEvents: 2, Types: []MirroredType{{"buy", 7, 5}}}}, nil
}

func serveDestinations(t *testing.T) (*httptest.Server, *fakeDestinations) {
	t.Helper()
	f := new(fakeDestinations)
	s := serveWith(t, newFake(), 1, f)
	return s, f
}

func TestDestinations(t *testing.T) {
	t.Parallel()
	s, f := serveDestinations(t)
	const unknown = `{"error":"\"x\": there is no such destination in the configuration; after a change of the file, reload the server"}`
	tests := []struct {
		method, target string
		status         int
		want           string
	}{
		{http.MethodPost, "/destinations/check?name=lake", 200, `{"name":"lake"}`},
		{http.MethodPost, "/destinations/check?name=warehouse", 200, `{"name":"warehouse","error":"connection refused"}`},
		{http.MethodPost, "/destinations/check?name=x", 400, unknown},
		{http.MethodPost, "/destinations/pause?name=lake", 200, ""},
		{http.MethodPost, "/destinations/pause?name=x", 400, unknown},
		{http.MethodPost, "/destinations/resume?name=warehouse", 400, `{"error":"connection refused"}`},
		{http.MethodPost, "/destinations/rewind?name=lake&to=beginning", 200, `{"number":5}`},
		{http.MethodPost, "/destinations/rewind?name=warehouse&to=5", 400, `{"error":"connection refused"}`},
		{http.MethodGet, "/destinations/rejects?name=lake", 200, `{"rejects":[{"number":3,"table":"events","reason":"too long"}]}`},
		{http.MethodGet, "/destinations/rejects?name=x", 400, unknown},
		{http.MethodGet, "/destinations/pause?name=lake", 405, "Method Not Allowed"},
		{http.MethodGet, "/destinations/suggest?name=x&events=10&share=0.5", 400, unknown},
		{http.MethodGet, "/destinations/suggest?name=lake&events=0&share=0.5", 400, `{"error":"Field 'events'`},
		{http.MethodGet, "/destinations/suggest?name=lake&events=10&share=NaN", 400, `{"error":"Field 'share'`},
		{
			http.MethodGet, "/destinations/suggest?name=lake&events=10&share=0.5", 200,
			`{"events":1,"columns":[{"type":"buy","property":"total","name":"total","as":"decimal(12,2)","events":1,"share":1,"misfits":0}],"yaml":"    # From`,
		},
		{http.MethodGet, "/destinations/mirrors", 200, `{"mirrors":[{"name":"old","project":"shop","lag_events":2,"types":[{"type":"buy","ours":7,"theirs":5}]}]}`},
		{http.MethodPost, "/destinations/verify?name=x", 400, unknown},
		{http.MethodPost, "/destinations/verify?name=lake&from=-1", 400, `{"error":"`},
	}
	for _, test := range tests {
		status, answer, err := do(t, s, test.method, test.target, nil)
		if status != test.status || !strings.HasPrefix(answer, test.want) || err != nil {
			t.Errorf("%s %s: got %d %s, %v, want %d %s", test.method, test.target, status, answer, err, test.status, test.want)
		}
	}
	if want := "rewind beginning lake"; !slices.Contains(f.done, want) {
		t.Errorf("did %q, want also %q", f.done, want)
	}
}

func TestListDestinations(t *testing.T) {
	t.Parallel()
	s, _ := serveDestinations(t)
	status, answer, err := do(t, s, http.MethodGet, "/destinations", nil)
	for _, want := range []string{
		`{"destinations":[{"name":"lake","kind":"file","state":"running","position":7,`,
		`"last_success":"2026-09-21T14:13:20Z","last_failure":null,"last_error":"of yesterday"`,
		`{"name":"warehouse","kind":"postgres","state":"retrying","position":0,"lag_events":7,"lag_seconds":90,`,
		`"error":"connection refused"`,
	} {
		if status != 200 || !strings.Contains(answer, want) || err != nil {
			t.Errorf("got %d %s, %v, want %s", status, answer, err, want)
		}
	}
}

// TestVerify: progress comes line by line, and then the report or an error.
func TestVerify(t *testing.T) {
	t.Parallel()
	s, f := serveDestinations(t)
	status, answer, err := do(t, s, http.MethodPost, "/destinations/verify?name=lake&from=3&mend=true", nil)
	lines := strings.Split(strings.TrimSpace(answer), "\n")
	if status != 200 || err != nil || len(lines) != 3 || lines[0] != `{"through":5,"last":7}` || !strings.HasPrefix(lines[2], `{"report":{"after":0,"through":7,`) {
		t.Errorf("got %d %q, %v", status, lines, err)
	}
	if want := "verify 3 true lake"; !slices.Contains(f.done, want) {
		t.Errorf("did %q, want %q", f.done, want)
	}
	status, answer, err = do(t, s, http.MethodPost, "/destinations/verify?name=warehouse", nil)
	if want := `{"error":"connection refused"}` + "\n"; status != 200 || answer != want || err != nil {
		t.Errorf("got %d %s, %v, want %s, because nothing was refused", status, answer, err, want)
	}
	status, answer, err = do(t, s, http.MethodPost, "/destinations/verify?name=lake&from=9", nil)
	if want := `{"through":5,"last":7}` + "\n" + `{"error":"connection refused"}` + "\n"; status != 200 || answer != want || err != nil {
		t.Errorf("got %d %s, %v, want %s", status, answer, err, want)
	}
}
