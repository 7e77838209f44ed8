// Package control is the HTTP interface for the commands of the machine's own
// operator: moving customers and events in and out, watching them, backing them
// up. It listens on a socket in the data directory that only the server's own
// user, and root, may use. There are no keys and no limits here.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"trackway"
	"trackway/internal/control/members"
	"trackway/internal/format/tracking"
	"trackway/internal/query"
)

// Ingest takes commands in, as [trackway/internal/ingest.Ingest] does.
type Ingest interface {
	// Accept stores the valid commands of cmds durably, in order, and writes
	// what became of each into results. If a result comes with an error, the
	// command was refused already. An error that Accept returns is the server's
	// own.
	Accept(p *trackway.Project, at trackway.Micros, cmds []trackway.Command, results []trackway.Result) error
}

// Config is what the handler works with. All fields are required, but the
// name and the cluster.
type Config struct {
	Ingest   Ingest
	Store    query.Store
	Name     string                             // of the store: no other has it
	Projects func() ([]trackway.Project, error) // those of the configuration in force, with their numbers
	Save     Saver
	Flush    func() error // writes what was recorded of calls to the disk
	Log      Log
	Logger   *slog.Logger

	Destinations Destinations
	Verify       Verifier
	Suggest      Suggester
	Mirrors      func(ctx context.Context) ([]Mirrored, error)

	Cluster members.Cluster // nil: the server stands alone
}

// Handler returns the routes of the control socket. Without ?project= (a name
// or a token), the only project is meant.
//
//	POST /import  a batch: at most [MaxLines] commands, a line each; answers
//	              an [Outcome] a line. ?store=NAME must be the store's, if given.
//	              With ?from=VENDOR the lines are what the vendor exports, as
//	              package foreign reads them, with ?event_type= and ?as_of=, in
//	              microseconds
//	POST /backup  a [Backup] into ?dir=, of which ?keep= stay
//	GET /export   the file that ?format= names, of ?customers=true and ?events=true; of events ?type=, ?since= and ?until=
//	GET /store    a [Store]
//	POST /traffic/flush  writes what was recorded of calls, so that it can be read up to now
//	GET /destinations          {"destinations":[…]}, as package listing has them
//	POST /destinations/check   a [Checked] of ?name=
//	POST /destinations/pause   ?name=, and POST /destinations/resume
//	POST /destinations/rewind  {"number":N} after ?name= was moved to ?to=
//	GET /destinations/rejects  {"rejects":[…]} of ?name=
//	GET /destinations/mirrors  {"mirrors":[…]}, each a [Mirrored]
//	GET /destinations/suggest  a [Suggestion] for ?name=, from the last ?events=, of properties that a ?share= of them have
//	POST /destinations/verify  [Line] by line; ?name=, ?mend=true, ?from=NUMBER
//	GET /tail     events as they become durable, in NDJSON; ?type=, ?customer=NAME=VALUE, ?since= or ?last=, a number
//
// A request that is refused is answered 400 with {"error":"…"}, one that failed
// 500. An answer that is cut off is one that failed.
func Handler(c Config) http.Handler {
	mux, received := http.NewServeMux(), new(receipts)
	routes := destinationRoutes()
	maps.Copy(routes, clusterRoutes())
	maps.Copy(routes, map[string]func(*call) error{
		"POST /import": (*call).importing,
		"POST /backup": (*call).backup,
		"GET /export":  (*call).export,
		"GET /store":   (*call).store,
		"GET /tail":    (*call).tail,

		"POST /traffic/flush": (*call).flush,
	})
	for pattern, do := range routes {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			(&call{Config: &c, w: w, r: r, query: r.URL.Query(), receipts: received}).answer(do)
		})
	}
	return mux
}

// call is one request.
type call struct {
	*Config

	w        http.ResponseWriter
	r        *http.Request
	query    url.Values
	receipts *receipts // of all imports
	started  bool      // the answer has begun: its status cannot be changed
}

// Write begins the answer, or goes on with it.
func (c *call) Write(b []byte) (int, error) {
	c.started = true
	return c.w.Write(b)
}

// as says what kind of answer it is. REQUIRES: the answer has not begun.
func (c *call) as(contentType string) { c.w.Header().Set("Content-Type", contentType) }

// json answers a value.
func (c *call) json(value any) error {
	c.as("application/json")
	return json.NewEncoder(c).Encode(value)
}

// answer runs do, and answers its error. An error that comes too late for that
// ends the connection, so that nobody takes a part for the whole.
func (c *call) answer(do func(*call) error) {
	err := do(c)
	if err == nil {
		return
	}
	refused, known := errors.AsType[*trackway.Error](err)
	if !known && c.r.Context().Err() == nil {
		c.Logger.Error("a command has failed", "route", c.r.URL.Path, "err", err)
	}
	if c.started {
		panic(http.ErrAbortHandler)
	}
	status, msg := http.StatusInternalServerError, err.Error()
	if known {
		status, msg = http.StatusBadRequest, tracking.Text(refused)
	} else if _, logged := errors.AsType[*loggedError](err); logged {
		msg = "internal error: see the server's log"
	}
	c.as("application/json")
	c.w.WriteHeader(status)
	_ = c.json(refusalBody{msg}) // the caller has gone
}

// refusalBody is the answer to a request that is refused or has failed.
type refusalBody struct {
	Error string `json:"error"`
}

// loggedError is an error whose text is for the log only.
type loggedError struct{ error }

func refuse(field, msg string) error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Msg: msg}
}

// Store says which store this is, so that a command that goes on with something
// knows whether it is the store that it began with.
type Store struct {
	Name string `json:"name"` // no other store has it, except one that is restored from a backup of this one
}

func (c *call) store() error { return c.json(Store{c.Name}) }

// flush writes what was recorded of calls to the disk.
func (c *call) flush() error { return c.Flush() }

// project returns the one that the call is about.
func (c *call) project() (*trackway.Project, error) {
	all, err := c.Projects()
	if err != nil {
		return nil, err
	}
	asked := c.query.Get("project")
	if asked == "" && len(all) == 1 {
		return &all[0], nil
	}
	names := make([]string, len(all))
	for i := range all {
		if p := &all[i]; asked != "" && (p.Name == asked || p.Token == strings.ToLower(asked)) {
			return p, nil
		}
		names[i] = all[i].Name
	}
	msg := "There are several projects: name one of " + strings.Join(names, ", ") + "."
	if asked != "" {
		msg = fmt.Sprintf("There is no project %q, only %s.", asked, strings.Join(names, ", "))
	}
	return nil, refuse("project", msg)
}
