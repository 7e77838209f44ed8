// Package control is the HTTP face for the commands of the machine's own operator: moving customers and events in and out,
// watching them, backing them up. Its one idea: it listens on a socket in the data directory, so that whoever may read the
// data may use it, and nobody else. There are no keys and no limits here.
package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"trackway"
	"trackway/internal/format/tracking"
	"trackway/internal/query"
)

// Ingest takes commands in, as [trackway/internal/ingest.Ingest] does.
type Ingest interface {
	// Accept stores the good ones of cmds durably, in order, and says in results what became of each. Where a result comes with
	// an error the command was refused already. An error is the server's own.
	Accept(p *trackway.Project, at trackway.Micros, cmds []trackway.Command, results []trackway.Result) error
}

// Config is what the handler works with. All fields are required, but the name.
type Config struct {
	Ingest   Ingest
	Store    query.Store
	Name     string                             // of the store: no other has it
	Projects func() ([]trackway.Project, error) // those of the configuration in force, with their numbers
	Save     Saver
	Flush    func() error // writes what was recorded of calls to the disk
	Log      Log
	Logger   *slog.Logger
}

// Handler returns the routes of the control socket. Where ?project= (a name or a token) is left out, the only one is meant.
//
//	POST /import  a body of NDJSON, a command a line; answers a [Progress] a line, while the body is read
//	POST /backup  a [Backup] into ?dir=, of which ?keep= stay
//	GET /export   the file that ?format= names, of ?customers=true and ?events=true; of events ?type=, ?since= and ?until=
//	GET /store    a [Store]
//	POST /traffic/flush  writes what was recorded of calls, so that it can be read up to now
//	GET /tail     events as they become durable, in NDJSON; ?type=, ?customer=NAME=VALUE, ?since= or ?last=, a number
//
// What is refused before it began is answered 400 with {"error":"…"}. An answer that is cut off is one that failed.
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	for pattern, do := range map[string]func(*call) error{
		"POST /import": (*call).importing,
		"POST /backup": (*call).backup,
		"GET /export":  (*call).export,
		"GET /store":   (*call).store,
		"GET /tail":    (*call).tail,

		"POST /traffic/flush": (*call).flush,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			(&call{Config: &c, w: w, r: r}).answer(do)
		})
	}
	return mux
}

// call is one request.
type call struct {
	*Config

	w       http.ResponseWriter
	r       *http.Request
	started bool // the answer has begun: its status cannot be changed
}

// answer runs do, and answers its error. One that comes too late for that ends the connection, so that nobody takes a part for
// the whole.
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
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_ = json.NewEncoder(c.w).Encode(map[string]string{"error": msg}) // the caller has gone
}

// start begins an answer that is written as it comes.
func (c *call) start(contentType string) {
	c.w.Header().Set("Content-Type", contentType)
	c.w.WriteHeader(http.StatusOK)
	c.started = true
}

// project returns the one that the call is about.
func (c *call) project() (*trackway.Project, error) {
	all, err := c.Projects()
	if err != nil {
		return nil, err
	}
	asked := c.r.FormValue("project")
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
	return nil, &trackway.Error{Code: trackway.Invalid, Field: "project", Msg: msg}
}
