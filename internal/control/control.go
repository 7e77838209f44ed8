// Package control is the HTTP interface for the commands of the machine's own
// operator: moving customers and events in and out, watching them, backing them
// up. It listens on a socket in the data directory that only the server's own
// user, and root, may use. It has no keys and no limits.
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
	"trackway/internal/audit"
	"trackway/internal/catalogue"
	"trackway/internal/control/members"
	"trackway/internal/format/tracking"
	"trackway/internal/people"
	"trackway/internal/query"
	"trackway/internal/suspect"
)

// Ingest accepts commands, as [trackway/internal/ingest.Ingest] does.
type Ingest interface {
	// Accept stores the valid commands of cmds durably, in order, and writes
	// the outcome of each into results. If a result already has an error, the
	// command was refused before. The error that Accept returns is the server's
	// own.
	Accept(p *trackway.Project, at trackway.Micros, cmds []trackway.Command, results []trackway.Result) error
}

// Config holds what the handler needs. All fields are required except the name,
// the cluster, and those for users.
type Config struct {
	Ingest   Ingest
	Store    query.Store
	Name     string                             // of the store: no other has it
	Projects func() ([]trackway.Project, error) // the projects of the configuration in force, with their numbers
	Save     Saver
	Flush    func() error // writes the recorded calls to the disk
	Log      func(project uint32) Log
	Logger   *slog.Logger
	Audit    *audit.Log // nil: nothing is recorded

	Destinations Destinations
	Verify       Verifier
	Suggest      Suggester
	Mirrors      func(ctx context.Context) ([]Mirrored, error)

	Catalogue func(p *trackway.Project, types []string) (*catalogue.View, error)
	Alarms    alarms
	Suspects  *suspect.Labeler
	Contracts contracts

	Cluster members.Cluster // nil: the server stands alone

	// Elsewhere returns what answers a call about a project whose data other
	// servers of the cluster hold, or nil if this one does. Latest waits a
	// while until this server has everything that any server has acknowledged;
	// an error means that it may lack some of it. Both are nil if the server
	// stands alone.

	Elsewhere func(r *http.Request, project uint32) http.Handler
	Latest    func(ctx context.Context, project uint32) error

	// The users of the server's pages; nil if no server runs here. ReloadUsers
	// puts those in force that the managed file has now, and ends the sessions
	// of those that have changed; actor has asked for it. SignOut ends all
	// sessions of a user, and returns how many there were.

	ReloadUsers func(actor string) error
	Sessions    func() []people.Session
	SignOut     func(user string) int
}

// Handler returns the routes of the control socket. ?project= takes the name or
// the token of a project; it may be missing if there is only one.
//
//	POST /import  stores a batch: at most [MaxLines] commands, one per line;
//	              answers with an [Outcome] per line. If ?store=NAME is given,
//	              it must be the name of this store. With ?from=VENDOR, the
//	              lines are a vendor's export, as package foreign reads it;
//	              ?event_type= and ?as_of= (in microseconds) complete it
//	POST /backup  makes a [Backup] in ?dir= and keeps the newest ?keep= there;
//	              with ?held=true, without what other servers hold
//	GET /export   answers with a file in ?format=, with ?customers=true,
//	              ?events=true or both; ?type=, ?since= and ?until= select events
//	GET /store    answers with a [Store]
//	GET /catalogue  answers with a [catalogue.View], of all types or each ?type=
//	GET /bots     answers with a [suspect.View]
//	GET /bots/simulate  tries rules on the last ?days=, and answers with a
//	              [suspect.Simulation]; ?pace=, ?repeats= and ?regular= replace
//	              the rules in force
//	GET /tail     answers with events as they become durable, in NDJSON; ?type=
//	              and ?customer=NAME=VALUE select events; it begins at ?since=,
//	              or with the last ?last= events
//
//	POST /traffic/flush  writes the recorded calls to the disk
//
//	GET /destinations          answers {"destinations":[…]}, see package listing
//	POST /destinations/check   checks ?name=, and answers with a [Checked]
//	POST /destinations/pause   pauses ?name=
//	POST /destinations/resume  resumes ?name=
//	POST /destinations/rewind  moves ?name= to ?to=, and answers {"number":N}
//	GET /destinations/rejects  answers {"rejects":[…]} of ?name=
//	GET /destinations/mirrors  answers {"mirrors":[…]}, each a [Mirrored]
//	GET /destinations/suggest  answers with a [Suggestion] for ?name=, from the
//	                           newest ?events= events, for properties that at
//	                           least a ?share= of the events of a type have
//	POST /destinations/verify  compares ?name= with the log from ?from=NUMBER on,
//	                           with ?mend=true repairs it, and answers with a
//	                           [Line] after each part
//
//	GET /alarms           answers with an [alarm.Report]
//	POST /alarms/test     sends a trial message to the receivers ?name=, or to
//	                      all, and answers with a list of [notify.Tried]
//	GET /alarms/simulate  replays the last ?weeks=, and answers with an
//	                      [alarm.Simulation]; ?percent=, ?least= and ?against=
//	                      replace the values of the rules
//
//	GET /contracts            answers with a [book.View]
//	GET /contracts/suggest    answers with a list of [suggest.Proposal], for
//	                          each ?type= or for all types
//	POST /contracts/simulate  tries the contracts in the body, a list of
//	                          [trial.Sent], on the newest ?events= events, and
//	                          answers with a [trial.Line] in each line
//
// A refused request is answered with 400 and {"error":"…"}, and a failed one
// with 500. If an answer is cut off, the request has failed.
func Handler(c Config) http.Handler {
	mux, received, imports := http.NewServeMux(), new(receipts), new(imports)
	for pattern, do := range allRoutes() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			(&call{Config: &c, w: w, r: r, query: r.URL.Query(), receipts: received, imports: imports}).answer(do)
		})
	}
	return mux
}

// allRoutes returns the routes of the control socket.
func allRoutes() map[string]func(*call) error {
	routes := destinationRoutes()
	maps.Copy(routes, clusterRoutes())
	maps.Copy(routes, userRoutes())
	maps.Copy(routes, alarmRoutes())
	for pattern, do := range projectRoutes() {
		routes[pattern] = atHolder(do)
	}
	maps.Copy(routes, map[string]func(*call) error{
		"POST /backup":        (*call).backup,
		"GET /store":          (*call).store,
		"POST /traffic/flush": (*call).flush,
	})
	return routes
}

// projectRoutes returns the routes of calls that are about one project.
func projectRoutes() map[string]func(*call) error {
	routes := contractRoutes()
	maps.Copy(routes, map[string]func(*call) error{
		"POST /import":       (*call).importing,
		"GET /export":        (*call).export,
		"GET /tail":          (*call).tail,
		"GET /catalogue":     (*call).catalogue,
		"GET /bots":          (*call).bots,
		"GET /bots/simulate": (*call).simulateBots,
	})
	return routes
}

// OfProject reports whether a call is about one project. Only such calls are
// passed on to other servers.
func OfProject(r *http.Request) bool { return projectRoutes()[r.Method+" "+r.URL.Path] != nil }

// UnsureField in an answer says that it may lack what came last: no server has
// answered that surely has all of the project.
const UnsureField = "Trackway-Unsure"

// atHolder has another server carry a call out if it holds the data of the
// project, and this one does not. Otherwise this server does, and reads what
// any server has acknowledged.
func atHolder(do func(*call) error) func(*call) error {
	return func(c *call) error {
		if c.Elsewhere == nil {
			return do(c)
		}
		p, err := c.project()
		if err != nil {
			return err
		}
		if other := c.Elsewhere(c.r, p.Number); other != nil {
			if err := c.sameStore(); err != nil {
				return err
			}
			c.query.Del("store") // the name is this server's own
			c.query.Set("project", p.Token)
			c.r.URL.RawQuery = c.query.Encode()
			other.ServeHTTP(c.w, c.r)
			return nil
		}
		if c.r.Method == http.MethodGet {
			if c.Latest(c.r.Context(), p.Number) != nil {
				c.w.Header().Set(UnsureField, "1")
			}
		}
		return do(c)
	}
}

// call is one request.
type call struct {
	*Config

	w        http.ResponseWriter
	r        *http.Request
	query    url.Values
	receipts *receipts // of all imports
	imports  *imports
	started  bool // the answer has begun: its status can no longer be changed
	of       *trackway.Project
}

// Write begins or continues the answer.
func (c *call) Write(b []byte) (int, error) {
	c.started = true
	return c.w.Write(b)
}

// as sets the type of the answer. REQUIRES: the answer has not begun.
func (c *call) as(contentType string) { c.w.Header().Set("Content-Type", contentType) }

// json answers a value.
func (c *call) json(value any) error {
	c.as("application/json")
	return json.NewEncoder(c).Encode(value)
}

// answer runs do, and reports its error to the caller. If it is too late to
// send an error, it ends the connection, so that nobody takes a part of the
// answer for the whole.
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

// refusalBody is the answer to a request that was refused or has failed.
type refusalBody struct {
	Error string `json:"error"`
}

// loggedError is an error whose text only goes to the log.
type loggedError struct{ error }

func refuse(field, msg string) error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Msg: msg}
}

// Store identifies the store, so that a command that continues earlier work can
// check that it is still the same store.
type Store struct {
	Name string `json:"name"` // unique, except for stores that are restored from a backup of this one
}

// catalogue answers with the types of events of a project.
func (c *call) catalogue() error {
	p, err := c.project()
	if err != nil {
		return err
	}
	v, err := c.Catalogue(p, c.query["type"])
	if err != nil {
		return err
	}
	return c.json(v)
}

// sameStore refuses a call that names another store.
func (c *call) sameStore() error {
	if name := c.query.Get("store"); name != "" && name != c.Name {
		return refuse("store", "The server has another store than the one at the beginning of the import.")
	}
	return nil
}

func (c *call) store() error { return c.json(Store{c.Name}) }

// flush writes the recorded calls to the disk.
func (c *call) flush() error { return c.Flush() }

// project returns the project that the call is about.
func (c *call) project() (p *trackway.Project, err error) {
	if c.of == nil {
		c.of, err = c.find()
	}
	return c.of, err
}

func (c *call) find() (*trackway.Project, error) {
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
