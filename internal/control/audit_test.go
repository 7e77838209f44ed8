package control

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/alarm"
	"trackway/internal/alarm/notify"
	"trackway/internal/audit"
	"trackway/internal/catalogue"
	"trackway/internal/contract/book"
	"trackway/internal/contract/suggest"
	"trackway/internal/contract/trial"
	"trackway/internal/control/members"
	"trackway/internal/partition/placement"
	"trackway/internal/people"
	"trackway/internal/suspect"
)

// recorded says what each route records that changes something or lets data
// out, or why it does not.
var recorded = map[string]struct {
	query, body string
	entries     []string // action, project, target, outcome, detail; the oldest first
	because     string   // it records nothing
}{
	"POST /import": {
		query: "?from=segment", body: "{}\n", entries: []string{"data.import|shop||allowed|from segment"},
	},
	"POST /backup": {query: "?dir=/backups&keep=3", entries: []string{"backup.make||/backups|allowed|"}},
	"GET /export":  {query: "?format=ndjson&customers=true", entries: []string{"data.export|shop||allowed|ndjson"}},
	"GET /tail":    {entries: []string{"data.export|shop||allowed|tail"}},

	"POST /destinations/pause":  {query: "?name=lake", entries: []string{"destination.pause||lake|allowed|"}},
	"POST /destinations/resume": {query: "?name=warehouse", entries: []string{"destination.resume||warehouse|allowed|", "destination.resume||warehouse|failed|"}},
	"POST /destinations/rewind": {query: "?name=lake&to=beginning", entries: []string{"destination.rewind||lake|allowed|to beginning"}},
	"POST /destinations/verify": {query: "?name=lake&mend=true", entries: []string{"destination.mend||lake|allowed|"}},
	"POST /destinations/check":  {query: "?name=lake", because: "it removes again what it writes"},

	"POST /alarms/test": {query: "?name=ops", entries: []string{"alarm.test||ops|allowed|"}},

	"POST /cluster/init":     {entries: []string{"cluster.init|||allowed|"}},
	"POST /cluster/join":     {query: "?at=b:1", entries: []string{"cluster.join||b:1|allowed|"}},
	"POST /cluster/remove":   {query: "?id=b", entries: []string{"cluster.remove||b|allowed|"}},
	"POST /cluster/transfer": {entries: []string{"cluster.transfer|||allowed|"}},
	"POST /cluster/step":     {query: "?do=lead&partition=1&server=a", entries: []string{"cluster.rebalance||a|allowed|"}},
	"POST /cluster/recover":  {entries: []string{"cluster.recover|||allowed|"}},

	"POST /users/sign-out": {query: "?name=joe", entries: []string{"session.end||joe|done|"}},
	"POST /users/reload":   {because: "the server records it, with what has changed"},

	"POST /traffic/flush": {because: "it changes nothing"},

	"GET /cluster/plan":         {because: "it is a look"},
	"GET /destinations":         {because: "it is a look"},
	"GET /destinations/rejects": {query: "?name=lake", because: "it is a look"},
	"GET /destinations/mirrors": {because: "it is a look"},
	"GET /destinations/suggest": {query: "?name=lake&events=1&share=0.5", because: "it is a look"},
	"GET /alarms":               {because: "it is a look"},
	"GET /alarms/simulate":      {query: "?weeks=1", because: "it is a look"},
	"GET /cluster":              {because: "it is a look"},
	"GET /catalogue":            {because: "it is a look"},
	"GET /bots":                 {because: "it is a look"},
	"GET /contracts":            {because: "it is a look"},
	"GET /contracts/suggest":    {because: "it is a look"},
	"POST /contracts/simulate":  {body: `[{"type":"e","schema":{}}]`, because: "it changes nothing"},
	"GET /bots/simulate":        {because: "it is a look"},
	"GET /store":                {because: "it is a look"},
	"GET /users/sessions":       {because: "it is a look"},
}

// fakeAlarms and fakeCluster do nothing.
type fakeAlarms struct{}

func (fakeAlarms) Report(time.Time) alarm.Report { return alarm.Report{} }
func (fakeAlarms) Try(context.Context, []string) ([]notify.Tried, bool) {
	return nil, true
}

func (fakeAlarms) Simulate(context.Context, alarm.Question) (*alarm.Simulation, error) {
	return new(alarm.Simulation), nil
}

type fakeCluster struct{}

func (fakeCluster) Status() members.Status                     { return members.Status{} }
func (fakeCluster) Init() error                                { return nil }
func (fakeCluster) Join(context.Context, string) error         { return nil }
func (fakeCluster) Remove(context.Context, string) error       { return nil }
func (fakeCluster) Transfer(context.Context, int) error        { return nil }
func (fakeCluster) Recover() error                             { return nil }
func (fakeCluster) Plan(context.Context) (members.Plan, error) { return members.Plan{}, nil }
func (fakeCluster) Step(context.Context, placement.Step) error { return nil }

// audited serves the control socket in a directory with an audit log, and
// returns a client of it.
func audited(t *testing.T, log *audit.Log) *http.Client {
	t.Helper()
	dir := t.TempDir()
	f, d := newFake(), new(fakeDestinations)
	shop := trackway.Project{Number: 1, Name: "shop", Token: "12345678-1234-1234-1234-123456789abc", Hard: []string{"registered"}, Soft: []string{"cookie"}, User: "registered", Device: "cookie"}
	ln, err := Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: Handler(Config{
		Ingest: f, Store: f, Name: "n", Log: func(uint32) Log { return f }, Save: f.save, Flush: f.flush, Logger: slog.New(slog.DiscardHandler), Audit: log,
		Projects:     func() ([]trackway.Project, error) { return []trackway.Project{shop}, nil },
		Destinations: d, Verify: d.verify, Suggest: d.suggest, Mirrors: d.mirrors, Alarms: fakeAlarms{}, Cluster: fakeCluster{}, Suspects: suspect.New(nil, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry()), Contracts: fakeContracts{},
		Catalogue:   func(*trackway.Project, []string) (*catalogue.View, error) { return new(catalogue.View), nil },
		ReloadUsers: func(string) error { return nil }, Sessions: func() []people.Session { return nil }, SignOut: func(string) int { return 2 },
	})}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close() })
	return Client(dir)
}

// request sends a request, and returns the start of the answer.
func request(t *testing.T, client *http.Client, route, query, body string) (status int, text string) {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://server"+path+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if path == "/tail" && res.StatusCode == http.StatusOK {
		return res.StatusCode, "" // it never ends
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(b)
}

func entries(t *testing.T, log *audit.Log) (list []string) {
	t.Helper()
	r, err := log.Read(new(audit.Query))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Entries {
		if want := audit.Person(os.Geteuid()); e.Via != audit.Command || runtime.GOOS == "linux" && e.Actor != want {
			t.Errorf("got %+v, want the actor %s", e, want)
		}
		list = append(list, fmt.Sprintf("%s|%s|%s|%s|%s", e.Action, e.Project, e.Target, e.Outcome, e.Detail))
	}
	slices.Reverse(list)
	return list
}

// TestRecorded tries each route. A route without a row fails.
func TestRecorded(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(allRoutes())), slices.Sorted(maps.Keys(recorded))); diff != "" {
		t.Fatal("(-routes +recorded):\n" + diff)
	}
	for route, row := range recorded {
		t.Run(strings.ReplaceAll(route, "/", " "), func(t *testing.T) {
			t.Parallel()
			if (row.because == "") == (row.entries == nil) {
				t.Fatal("either entries, or why there are none")
			}
			log := audit.New(t.TempDir(), slog.New(slog.DiscardHandler))
			failed := strings.Contains(strings.Join(row.entries, "\n"), "|failed|")
			if status, text := request(t, audited(t, log), route, row.query, row.body); (status == http.StatusOK) == failed {
				t.Fatalf("got %d %s", status, text)
			}
			if diff := cmp.Diff(entries(t, log), row.entries); diff != "" {
				t.Error("(-got +want):\n" + diff)
			}
		})
	}
}

// TestUnrecorded checks that what needs an entry is refused without one.
func TestUnrecorded(t *testing.T) {
	t.Parallel()
	log := audit.New(filepath.Join(t.TempDir(), "absent"), slog.New(slog.DiscardHandler))
	client := audited(t, log)
	for route, row := range recorded {
		if row.entries == nil || strings.HasSuffix(row.entries[0], "|done|") { // that takes access away
			continue
		}
		if status, text := request(t, client, route, row.query, row.body); status != http.StatusBadRequest || !strings.Contains(text, "nothing was done") {
			t.Errorf("%s: got %d %s", route, status, text)
		}
	}
}

// TestImportsRecorded: each import makes one entry, and not each batch.
func TestImportsRecorded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var seen imports
	for i, c := range []struct {
		of   string
		at   time.Duration
		want bool
	}{
		{"a", 0, true},
		{"a", time.Minute, false},
		{"b", time.Minute, true},
		{"a", 10 * time.Minute, false}, // nine after the batch before
		{"a", 21 * time.Minute, true},
	} {
		if got := seen.begins(now.Add(c.at), c.of); got != c.want {
			t.Errorf("%d: got %v", i, got)
		}
	}
	for i := range 10 * mostImports {
		seen.begins(now, strconv.Itoa(i))
	}
	if len(seen.seen) > mostImports {
		t.Errorf("%d imports are remembered", len(seen.seen))
	}
}

// fakeContracts are no contracts.
type fakeContracts struct{}

func (fakeContracts) View(uint32, string, time.Time, func(string) bool) *book.View {
	return new(book.View)
}

func (fakeContracts) Try(context.Context, trial.Question) (trial.Result, error) {
	return trial.Result{}, nil
}

func (fakeContracts) Suggest(context.Context, *trackway.Project, []string, time.Duration) ([]suggest.Proposal, error) {
	return nil, nil
}
