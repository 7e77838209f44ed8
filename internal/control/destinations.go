package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"trackway/internal/ask"
	"trackway/internal/destination"
	"trackway/internal/destination/listing"
	"trackway/internal/destination/verify"
)

// Destinations is what operators do with destinations. Names are those of the
// configuration. No error contains a credential.
type Destinations interface {
	List() []destination.Status

	// Check writes something into a destination, reads it back and removes it.
	Check(ctx context.Context, name string) error

	// Pause stops a destination until Resume, also over a restart.
	Pause(name string) error
	Resume(name string) error

	// Rewind makes a destination continue after another change: beginning, now,
	// a number or a time. It returns the number.
	Rewind(ctx context.Context, name, to string) (uint64, error)

	// Rejects returns the last rows that a destination has rejected, oldest
	// first.
	Rejects(name string) ([]destination.Reject, error)
}

// Verification is what to compare of a destination.
type Verification struct {
	Name     string
	From     uint64 // the lowest number to compare
	Mend     bool
	Progress func(through, last uint64)
}

// Verifier compares a destination with the log.
type Verifier func(ctx context.Context, v Verification) (*verify.Report, error)

// Line is a line of the answer to a verification: a progress, or the report,
// which comes last, or why there is none.
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

// destinationRoutes are the routes about destinations.
func destinationRoutes() map[string]func(*call) error {
	return map[string]func(*call) error{
		"GET /destinations":         (*call).destinations,
		"POST /destinations/check":  (*call).check,
		"POST /destinations/pause":  (*call).pause,
		"POST /destinations/resume": (*call).resume,
		"POST /destinations/rewind": (*call).rewind,
		"GET /destinations/rejects": (*call).rejects,
		"POST /destinations/verify": (*call).verify,
	}
}

func (c *call) destinations() error {
	return c.json(struct {
		Destinations []listing.Row `json:"destinations"`
	}{listing.Of(c.Destinations.List())})
}

// check answers what a check has found. A destination that fails is no error of
// the call.
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

func (c *call) pause() error { return asked(c.Destinations.Pause(c.query.Get("name"))) }

func (c *call) resume() error { return asked(c.Destinations.Resume(c.query.Get("name"))) }

func (c *call) rewind() error {
	number, err := c.Destinations.Rewind(c.r.Context(), c.query.Get("name"), c.query.Get("to"))
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

// asked makes an error of a destination one that the operator is told in full.
func asked(err error) error {
	if err == nil {
		return nil
	}
	return refuse("destination", err.Error())
}

// verify answers lines, each of them at once. The last has the report, or why
// there is none.
func (c *call) verify() error {
	v := Verification{Name: c.query.Get("name"), Mend: c.query.Get("mend") == "true"}
	if text := c.query.Get("from"); text != "" {
		var err error
		if v.From, err = strconv.ParseUint(text, 10, 64); err != nil {
			return ask.Invalid("from", "the number of a change")
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
	case c.started:
		return lines.Encode(Line{Error: err.Error()})
	}
	return asked(err)
}
