package api

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/allocs"
	"trackway/internal/auth"
	"trackway/internal/format"
	"trackway/internal/format/tracking"
	"trackway/internal/live"
	"trackway/internal/rates"
)

// lines is a format of its own, for this test: a line "NAME TYPE" adds an event
// of that type to a customer, "?" asks for nothing. Answers are words.
var lines = &format.Format{
	Name: "lines",
	Decode: func(_ *trackway.Project, body []byte, received trackway.Micros) (*format.Batch, *trackway.Error) {
		if len(body) == 0 {
			return nil, &trackway.Error{Code: trackway.Invalid, Reason: trackway.Empty}
		}
		b := &format.Batch{Received: received}
		for line := range strings.Lines(string(body)) {
			name, typ, ok := strings.Cut(strings.TrimSpace(line), " ")
			c := trackway.Command{
				Kind: trackway.AddEvent, IDs: []trackway.Identifier{{Name: "cookie", Value: name}}, Type: typ, Time: received, Received: received,
			}
			switch {
			case name == "?":
				b.Add(trackway.Command{}, nil, format.Label{Name: "ask"})
			case !ok:
				b.Add(trackway.Command{Type: name}, &trackway.Error{Code: trackway.Invalid, Field: "type", Reason: trackway.Required}, format.Label{Name: "add"})
			default:
				b.Add(c, nil, format.Label{Name: "add", ID: []byte(name)})
			}
		}
		return b, nil
	},
	Results: func(b *format.Batch, _ trackway.Micros) (int, []byte, *trackway.Error) {
		var words []string
		for i, r := range b.Results {
			switch {
			case r.Err != nil:
				words = append(words, string(r.Err.Reason)+" "+r.Err.Field)
			case b.Commands[i].Kind == trackway.Nothing:
				words = append(words, "nothing")
			default:
				words = append(words, "ok "+string(b.Labels[i].ID))
			}
		}
		return http.StatusOK, []byte(strings.Join(words, ", ")), nil
	},
	Refusal: func(status int, err *trackway.Error) (int, []byte) {
		if status == http.StatusRequestEntityTooLarge {
			status = http.StatusBadRequest // its clients would send it again
		}
		return status, []byte(err.Code)
	},
	Text: func(err *trackway.Error) string { return string(err.Reason) },
}

// TestAnotherFormat: a second format needs only a package and a row of the
// table. Its calls take the same steps as all others, to the same store and
// observers, and their answers are in its own words.
func TestAnotherFormat(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rt := route{method: "POST", path: "/lines/{token}", needs: trackway.SetEvents, format: lines, maxBody: 1000, do: f.takes}
	f.handle("POST /lines/{token}", rt)
	watcher, err := f.observer.live.Watch(live.Filter{Rejected: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	for _, c := range []struct {
		body, key string
		status    int
		answer    string
	}{
		{"jane visit\n?\njohn\nanna buy\n", publicToken, 200, "ok jane, nothing, required type, ok anna"},
		{"", publicToken, 400, "invalid"},
		{strings.Repeat("jane visit\n", 100), publicToken, 400, "too_large"},
		{"jane visit\n", "unknown", 401, "unidentified"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/lines/"+projectToken, strings.NewReader(c.body))
		r.Header.Set("Authorization", "Token "+c.key)
		w := httptest.NewRecorder()
		f.Server.ServeHTTP(w, r) // not through the contract, which does not know the format
		if got := w.Body.String(); w.Code != c.status || got != c.answer {
			t.Errorf("%.20q: got %d %s, want %d %s", c.body, w.Code, got, c.status, c.answer)
		}
	}
	var types, refused []string
	for _, c := range f.ingest.cmds {
		if c.Kind != trackway.Nothing {
			types = append(types, c.Type)
		}
	}
	if got := strings.Join(types, " "); got != "visit buy" {
		t.Errorf("the store was given %s", got)
	}
	items, _, err := watcher.Take(100)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		refused = append(refused, it.Rejection.Command+" "+it.Rejection.Type+" "+it.Rejection.Reason)
	}
	if got := strings.Join(refused, ", "); got != "add john required, lines  empty, lines  , lines  " {
		t.Errorf("watchers were shown %q", got)
	}
	now := time.Now()
	// By key, the body that was too large counts too, and no call counts whose
	// key is unknown.
	if commands, refused := f.observer.rates.ByKey(now, rates.Key{Project: 1, Name: "web"}); commands != 5 || refused != 3 {
		t.Errorf("by key: got %d commands, %d of them refused, want 5 and 3", commands, refused)
	}
	// The refused ones are john and the body that was not understood.
	for kind, want := range map[rates.Kind]uint64{rates.Accepted: 2, rates.Refused: 2} {
		if got := f.observer.rates.LastMinute(now, kind); got != want {
			t.Errorf("%d commands of kind %d were counted, want %d", got, kind, want)
		}
	}
}

// pieces is an Ingester that notes how many commands come at once. The command
// with the type failing, and those that come with it, fail.
type pieces struct{ sizes []int }

var errPiece = errors.New("the disk is full")

func (p *pieces) Accept(_ *trackway.Project, _ trackway.Micros, cmds []trackway.Command, _ []trackway.Result) error {
	p.sizes = append(p.sizes, len(cmds))
	for i := range cmds {
		if cmds[i].Type == "failing" {
			return errPiece
		}
	}
	return nil
}

// TestPieces: the commands of a large body reach the store in pieces, so that
// others do not wait for all of them. If one piece fails, the call fails.
func TestPieces(t *testing.T) {
	t.Parallel()
	grant := &auth.Grant{Project: &trackway.Project{}, Key: &trackway.Key{Kind: trackway.PublicKey}}
	for _, c := range []struct {
		body string
		want []int
		err  error
	}{
		{strings.Repeat("jane visit\n", 1000), []int{1000}, nil},
		{strings.Repeat("jane visit\n", 2500), []int{1000, 1000, 500}, nil},
		{strings.Repeat("jane visit\n", 1500) + "jane failing\n" + strings.Repeat("jane visit\n", 1000), []int{1000, 1000}, errPiece},
	} {
		var in pieces
		_, status, _, err := track(&in, lines, grant, 1, []byte(c.body), func() {})
		if !slices.Equal(in.sizes, c.want) || !errors.Is(err, c.err) || (status == http.StatusOK) != (err == nil) {
			t.Errorf("%.20q: got pieces of %d, %v, want %d, %v", c.body, in.sizes, err, c.want, c.err)
		}
	}
}

// TestTrackAllocations bounds the allocations of a usual call: the command with
// its result, its identifiers and its properties. A batch adds the batch and
// its three slices, what all commands share, and the answer. allocs.PerRun
// forbids parallel tests.
func TestTrackAllocations(t *testing.T) {
	key := &trackway.Key{Kind: trackway.PublicKey}
	grant := &auth.Grant{Project: &trackway.Project{}, Key: key}
	for _, c := range usualBodies() {
		n := allocs.PerRun(100, func() {
			if _, _, _, err := track(discard{}, c.format, grant, 1, c.body, func() {}); err != nil {
				t.Fatal(err)
			}
		})
		if n > c.allocations {
			t.Errorf("%s: %v allocations, at most %v", c.format.Name, n, c.allocations)
		}
	}
}

func BenchmarkTrack(b *testing.B) {
	grant := &auth.Grant{Project: &trackway.Project{}, Key: &trackway.Key{Kind: trackway.PublicKey}}
	for _, c := range usualBodies() {
		b.Run(c.format.Name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.body)))
			for b.Loop() {
				if _, _, _, err := track(discard{}, c.format, grant, 1, c.body, func() {}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type usualBody struct {
	format      *format.Format
	body        []byte
	allocations float64
}

func usualBodies() []usualBody {
	const command = `{"name":"customers/events","data":` + goodEvent + `}`
	batch := `{"commands":[` + command + strings.Repeat(","+command, trackway.MaxCommands-1) + `]}`
	return []usualBody{
		{tracking.Single(tracking.Events), []byte(goodEvent), 3},
		{tracking.Batch, []byte(batch), 17},
	}
}
