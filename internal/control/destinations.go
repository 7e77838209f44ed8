package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"trackway/internal/ask"
	"trackway/internal/audit"
	"trackway/internal/destination"
	"trackway/internal/destination/listing"
	"trackway/internal/destination/suggest"
	"trackway/internal/destination/verify"
)

// Destinations is what operators can do with destinations. The names are those
// in the configuration. No error contains a credential.
type Destinations interface {
	List() []destination.Status

	// Check writes something into a destination, reads it back and removes it.
	Check(ctx context.Context, name string) error

	// Pause stops a destination until Resume, even across a restart.
	Pause(name string) error
	Resume(name string) error

	// Rewind makes a destination continue after another change: beginning, now,
	// a number or a time. It returns the number.
	Rewind(ctx context.Context, name, to string) (uint64, error)

	// Rejects returns the last rows that a destination has rejected, oldest
	// first.
	Rejects(name string) ([]destination.Reject, error)
}

// Verification says what to compare in a destination.
type Verification struct {
	Name     string
	From     uint64 // the lowest number to compare
	Mend     bool
	Progress func(through, last uint64)
}

// Verifier compares a destination with the log.
type Verifier func(ctx context.Context, v Verification) (*verify.Report, error)

// Line is a line of the answer to a verification: progress, or, as the last
// line, the report or an error.
type Line struct {
	Through uint64         `json:"through,omitempty"` // all numbers up to this one are compared
	Last    uint64         `json:"last,omitempty"`    // the number where it ends
	Report  *verify.Report `json:"report,omitempty"`
	Error   string         `json:"error,omitempty"`
}

// Checked is the answer to a check.
type Checked struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"` // empty: it is fine
}

// Suggester proposes columns for a destination, or, if the name is empty, for
// any. It looks at the newest events, up to a number, and proposes properties
// that at least the given share of a type's events have.
type Suggester func(ctx context.Context, name string, events int, share float64) (*suggest.Proposal, error)

// Suggestion is a proposal of columns.
type Suggestion struct {
	Events  uint64            `json:"events"` // that were looked at
	Columns []SuggestedColumn `json:"columns"`
	YAML    string            `json:"yaml"` // the columns as the configuration spells them
}

// SuggestedColumn is a column of a suggestion.
type SuggestedColumn struct {
	Type     string  `json:"type,omitempty"` // of events; absent: all
	Property string  `json:"property"`
	Name     string  `json:"name"`
	As       string  `json:"as"`
	Events   uint64  `json:"events"`  // that have the property
	Share    float64 `json:"share"`   // of the events of the type
	Misfits  uint64  `json:"misfits"` // values that would not fit
}

// Mirrored compares the events of a project here with those that a mirror has.
type Mirrored struct {
	Name      string         `json:"name"` // of the destination
	Project   string         `json:"project"`
	LagEvents uint64         `json:"lag_events"` // changes that the mirror lacks
	Types     []MirroredType `json:"types"`
	Error     string         `json:"error,omitempty"` // why the mirror's events were not counted
}

// MirroredType counts the events of a type. The empty type stands for all types
// that are not counted by name.
type MirroredType struct {
	Type   string `json:"type"`
	Ours   uint64 `json:"ours"`
	Theirs uint64 `json:"theirs"`
}

// destinationRoutes returns the routes for destinations.
func destinationRoutes() map[string]func(*call) error {
	return map[string]func(*call) error{
		"GET /destinations":         (*call).destinations,
		"POST /destinations/check":  (*call).check,
		"POST /destinations/pause":  (*call).pause,
		"POST /destinations/resume": (*call).resume,
		"POST /destinations/rewind": (*call).rewind,
		"GET /destinations/rejects": (*call).rejects,
		"GET /destinations/mirrors": (*call).mirrors,
		"GET /destinations/suggest": (*call).suggest,
		"POST /destinations/verify": (*call).verify,
	}
}

func (c *call) destinations() error {
	return c.json(struct {
		Destinations []listing.Row `json:"destinations"`
	}{listing.Of(c.Destinations.List())})
}

// check answers with the result of a check. If the destination fails, that is
// not an error of the call.
func (c *call) check() error {
	name := c.query.Get("name")
	err := c.Destinations.Check(c.r.Context(), name)
	if errors.Is(err, destination.ErrUnknown) {
		return asked(err)
	}
	answer := Checked{Name: name}
	if err != nil {
		answer.Error = err.Error()
	}
	return c.json(answer)
}

func (c *call) pause() error { return c.switched(audit.DestinationPause, c.Destinations.Pause) }

func (c *call) resume() error { return c.switched(audit.DestinationResume, c.Destinations.Resume) }

func (c *call) switched(action audit.Action, do func(name string) error) error {
	name := c.query.Get("name")
	return c.recorded(action, name, func() error { return asked(do(name)) })
}

func (c *call) rewind() error {
	var number uint64
	name, to := c.query.Get("name"), c.query.Get("to")
	e := c.entry(audit.DestinationRewind, name)
	e.Detail = "to " + to
	err := c.Audit.Do(e, func() (err error) {
		number, err = c.Destinations.Rewind(c.r.Context(), name, to)
		return err
	})
	if err != nil {
		return asked(err)
	}
	return c.json(struct {
		Number uint64 `json:"number"`
	}{number})
}

func (c *call) rejects() error {
	list, err := c.Destinations.Rejects(c.query.Get("name"))
	if err != nil {
		return asked(err)
	}
	return c.json(struct {
		Rejects []destination.Reject `json:"rejects"`
	}{append([]destination.Reject{}, list...)})
}

// suggest answers a [Suggestion].
func (c *call) suggest() error {
	events, err := strconv.Atoi(c.query.Get("events"))
	if err != nil || events < 1 {
		return ask.Invalid("events", "a whole number of at least 1")
	}
	share, err := strconv.ParseFloat(c.query.Get("share"), 64)
	if err != nil || !(share >= 0 && share <= 1) {
		return ask.Invalid("share", "a number from 0 to 1")
	}
	p, err := c.Suggest(c.r.Context(), c.query.Get("name"), events, share)
	if err != nil {
		return asked(err)
	}
	const indent = "    " // with the keys of an item of destinations
	answer := Suggestion{Events: p.Events, Columns: make([]SuggestedColumn, len(p.Columns)), YAML: p.YAML(indent)}
	for i := range p.Columns {
		s := &p.Columns[i]
		answer.Columns[i] = SuggestedColumn{s.Type, s.Property, s.Name, s.As.String(), s.Events, s.Share, s.Misfits}
	}
	return c.json(&answer)
}

// mirrors answers with the number of events that each mirror has of each
// project.
func (c *call) mirrors() error {
	all, err := c.Mirrors(c.r.Context())
	if err != nil {
		return err
	}
	return c.json(struct {
		Mirrors []Mirrored `json:"mirrors"`
	}{append([]Mirrored{}, all...)})
}

// asked marks an error of a destination as one that is shown to the operator in
// full.
func asked(err error) error {
	if err == nil {
		return nil
	}
	return refuse("destination", err.Error())
}

// verify answers with lines, each sent at once. The last one has the report or
// an error.
func (c *call) verify() error {
	v := Verification{Name: c.query.Get("name"), Mend: c.query.Get("mend") == "true"}
	if text := c.query.Get("from"); text != "" {
		var err error
		if v.From, err = strconv.ParseUint(text, 10, 64); err != nil {
			return ask.Invalid("from", "the number of a change")
		}
	}
	if v.Mend {
		if err := c.Audit.Add(c.entry(audit.DestinationMend, v.Name)); err != nil {
			return err
		}
	}
	lines, flush := json.NewEncoder(c), http.NewResponseController(c.w)
	v.Progress = func(through, last uint64) {
		_ = lines.Encode(Line{Through: through, Last: last}) // if the caller has gone, the context ends
		_ = flush.Flush()
	}
	c.as("application/x-ndjson")
	report, err := c.Verify(c.r.Context(), v)
	switch {
	case err == nil:
		return lines.Encode(Line{Report: report})
	case !c.started && errors.Is(err, destination.ErrUnknown):
		return asked(err)
	}
	return lines.Encode(Line{Error: err.Error()})
}
