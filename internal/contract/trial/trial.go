// Package trial says what contracts would have done to the events that are
// stored. It reads the log back from its end, with bounded work, and leaves at
// least half of a processor's time to others. It shows no values: examples are
// masked.
package trial

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/contract"
	"trackway/internal/contract/schema"
	"trackway/internal/excerpt"
	"trackway/internal/query"
)

// Question is what to try.
type Question struct {
	Project   uint32
	Contracts []contract.Contract // with any schemas; the actions do not matter
	Events    uint64              // how many events to look at, at most; of any project
	Patience  time.Duration       // after this time, the answer is about what was looked at until then

	// Progress, unless nil, is called about once a second.
	Progress func(Result)
}

// The usual bounds, for pages and for commands.
const (
	PageEvents      = 200_000
	PagePatience    = 3 * time.Second
	CommandEvents   = 10_000_000
	CommandPatience = 10 * time.Minute
)

// Result says what contracts would have done. Times are Unix seconds of
// receipt.
type Result struct {
	LookedAt uint64 `json:"looked_at"` // events of all types and projects
	From     *int64 `json:"from"`      // of the oldest event that was looked at, or null
	Until    *int64 `json:"until"`     // of the newest one
	Cut      bool   `json:"cut"`       // older events were not looked at
	Types    []Type `json:"types"`
}

// Type says what a contract would have done to the events of its type.
type Type struct {
	Type    string   `json:"type"`
	Checked uint64   `json:"checked"`
	Broken  uint64   `json:"broken"`
	Share   float64  `json:"share"` // of the checked events
	Reasons []Reason `json:"reasons"`
}

// Reason is a demand that events broke.
type Reason struct {
	Property string `json:"property"` // such as items[].price; empty: the properties as a whole
	Keyword  string `json:"keyword"`
	Expected string `json:"expected"`
	Events   uint64 `json:"events"`
	First    int64  `json:"first"`
	Last     int64  `json:"last"`
	Example  string `json:"example"` // the newest value at fault, masked; empty: it has no value
}

// tried is a contract while it is tried.
type tried struct {
	typ             string
	schema          *schema.Schema
	checked, broken uint64
	reasons         map[int]*Reason
}

const (
	workTime  = 10 * time.Millisecond // between two pauses of the same length
	lookEvery = 64                    // events between two looks at the clock
	showEvery = time.Second
)

// Run tries contracts on the stored events. If ctx ends, it returns the cause.
func Run(ctx context.Context, store query.Store, q Question) (Result, error) {
	byType := make(map[string]*tried, len(q.Contracts))
	all := make([]*tried, 0, len(q.Contracts))
	for _, c := range q.Contracts {
		s, wrong := schema.Parse(c.Schema)
		if wrong != nil {
			return Result{}, &trackway.Error{Code: trackway.Invalid, Field: "schema", Msg: "The schema for " + excerpt.Of(c.Type, 64) + " is not valid: " + wrong.Error() + "."}
		}
		t := &tried{typ: c.Type, schema: s, reasons: make(map[int]*Reason)}
		byType[c.Type], all = t, append(all, t)
	}
	r := run{q: &q, byType: byType, all: all, began: time.Now()}
	r.worked, r.shown = r.began, r.began
	s := store.Snapshot()
	err := s.Log(query.LogRange{NewestFirst: true, Project: q.Project}, func(e *trackway.Event) bool { return r.look(ctx, e) })
	if closed := s.Close(); err == nil {
		err = closed
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return r.result(), err
}

type run struct {
	q      *Question
	byType map[string]*tried
	all    []*tried

	looked        uint64
	newest        trackway.Micros
	oldest        trackway.Micros
	cut           bool
	began         time.Time
	worked, shown time.Time
}

// look looks at an event. It reports whether to go on.
func (r *run) look(ctx context.Context, e *trackway.Event) bool {
	if r.looked == r.q.Events || r.looked%lookEvery == 0 && !r.mayGoOn(ctx) {
		r.cut = true
		return false
	}
	if r.looked == 0 {
		r.newest, r.oldest = e.Received, e.Received
	}
	r.newest, r.oldest = max(r.newest, e.Received), min(r.oldest, e.Received)
	r.looked++
	t := r.byType[e.Type]
	if e.Project != r.q.Project || t == nil {
		return true
	}
	t.checked++
	properties := canonjson.SplitObject(e.Properties)
	if fault, ok := t.schema.Check(properties); !ok {
		t.broken++
		t.note(&fault, e)
	}
	return true
}

// mayGoOn looks at the clock, and pauses when it is time.
func (r *run) mayGoOn(ctx context.Context) bool {
	now := time.Now()
	if now.Sub(r.began) > r.q.Patience || ctx.Err() != nil {
		return false
	}
	if now.Sub(r.shown) > showEvery && r.q.Progress != nil {
		r.shown = now
		r.q.Progress(r.result())
	}
	if worked := now.Sub(r.worked); worked > workTime {
		pause := time.NewTimer(workTime)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
			return false
		}
		r.worked = time.Now()
	}
	return true
}

func (t *tried) note(fault *schema.Fault, e *trackway.Event) {
	at := e.Received.Time().Unix()
	reason := t.reasons[fault.Demand]
	if reason == nil {
		d := &t.schema.Demands()[fault.Demand]
		reason = &Reason{Property: d.Path, Keyword: d.Keyword, Expected: cmp.Or(d.What, "to be there"), First: at, Last: at, Example: Mask(fault.Raw)}
		t.reasons[fault.Demand] = reason
	}
	reason.Events++
	reason.First, reason.Last = min(reason.First, at), max(reason.Last, at)
}

const mostReasons = 50 // of a type in an answer

func (r *run) result() Result {
	out := Result{LookedAt: r.looked, Cut: r.cut, Types: []Type{}}
	if r.looked > 0 {
		from, until := r.oldest.Time().Unix(), r.newest.Time().Unix()
		out.From, out.Until = &from, &until
	}
	for _, t := range r.all {
		one := Type{Type: t.typ, Checked: t.checked, Broken: t.broken, Reasons: []Reason{}}
		if t.checked > 0 {
			one.Share = float64(t.broken) / float64(t.checked)
		}
		for _, reason := range t.reasons {
			one.Reasons = append(one.Reasons, *reason)
		}
		slices.SortFunc(one.Reasons, func(a, b Reason) int {
			return cmp.Or(cmp.Compare(b.Events, a.Events), strings.Compare(a.Property, b.Property), strings.Compare(a.Keyword, b.Keyword))
		})
		one.Reasons = one.Reasons[:min(len(one.Reasons), mostReasons)]
		out.Types = append(out.Types, one)
	}
	return out
}

// Mask describes a value without showing it: it replaces letters by x and
// digits by 9, and cuts it. An object or array is only named.
func Mask(raw []byte) string {
	const most = 24
	if len(raw) == 0 {
		return ""
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f', 'n':
		return string(raw)
	}
	var b strings.Builder
	for n := 0; len(raw) > 0; n++ {
		if n == most {
			return b.String() + "…"
		}
		c, size := utf8.DecodeRune(raw)
		raw = raw[size:]
		switch {
		case unicode.IsDigit(c) || unicode.IsNumber(c):
			c = '9'
		case c > unicode.MaxASCII || unicode.IsLetter(c):
			c = 'x'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Line is a line of the answer to a command: progress, or, as the last line,
// the result or an error.
type Line struct {
	Progress *Result `json:"progress,omitempty"`
	Result   *Result `json:"result,omitempty"`
	Error    string  `json:"error,omitempty"`
}

// Sent is a contract as clients of a trial send it.
type Sent struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
}

// MaxSent is how many bytes of contracts a trial takes.
const MaxSent = 1 << 20

// Read reads the contracts of a trial: a list, at least one.
func Read(body []byte) ([]contract.Contract, error) {
	var sent []Sent
	bad := &trackway.Error{Code: trackway.Invalid, Field: "contracts", Reason: trackway.Expected, What: `a list such as [{"type":"purchase","schema":{}}]`}
	if err := json.Unmarshal(body, &sent); err != nil || len(sent) == 0 {
		return nil, bad
	}
	out := make([]contract.Contract, len(sent))
	for i := range sent {
		if sent[i].Type == "" || len(sent[i].Schema) == 0 {
			return nil, bad
		}
		out[i] = contract.Contract{Type: sent[i].Type, Schema: sent[i].Schema}
	}
	return out, nil
}
