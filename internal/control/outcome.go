package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"trackway"
	"trackway/internal/format/tracking"
)

// The outcomes of a line of an import.
const (
	Stored    = "stored"    // as an event
	Duplicate = "duplicate" // an event that was already stored
	Updated   = "updated"   // a customer
	Refused   = "refused"
	Nothing   = "nothing" // the line is blank, or asks for the time
)

// Outcome is the outcome of a line of an import.
type Outcome struct {
	Status  string `json:"status"`
	LeftOut int64  `json:"left_out,omitempty"` // identifiers that name nobody
	Refusal
}

// Refusal says why a line was refused.
type Refusal struct {
	Field string `json:"field,omitempty"` // the field at fault
	Error string `json:"error,omitempty"`
}

// note notes the results of a line's commands, usually one. status is the
// status if all of them succeed. The line is refused if one of its commands is,
// and a duplicate if all its events are.
func (o *Outcome) note(commands []trackway.Command, results []trackway.Result) {
	stored := false
	for i := range commands {
		c, r := &commands[i], &results[i]
		o.LeftOut += int64(len(c.LeftOut))
		stored = stored || c.Kind == trackway.AddEvent && !r.Duplicate
		if r.Err != nil && o.Status != Refused {
			o.Status, o.Refusal = Refused, Refusal{r.Err.Field, tracking.Text(r.Err)}
		}
	}
	if o.Status == Stored && !stored {
		o.Status = Duplicate
	}
}

// append appends the outcome as a line of JSON.
func (o *Outcome) append(b []byte) []byte {
	if *o == (Outcome{Status: o.Status}) {
		return append(append(append(b, `{"status":"`...), o.Status...), "\"}\n"...)
	}
	text, err := json.Marshal(o)
	if err != nil {
		panic("bug: an outcome cannot be written as JSON: " + err.Error())
	}
	return append(append(b, text...), '\n')
}

// usual maps lines of an answer, without the line break, to outcomes that have
// only a status. Nearly all lines are among these.
var usual = func() map[string]Outcome {
	all := map[string]Outcome{}
	for _, status := range []string{Stored, Duplicate, Updated, Refused, Nothing} {
		o := Outcome{Status: status}
		all[string(bytes.TrimSpace(o.append(nil)))] = o
	}
	return all
}()

// ReadOutcomes reads the answer to a batch with the given number of lines, and
// appends the outcomes to all.
func ReadOutcomes(all []Outcome, answer io.Reader, lines int) ([]Outcome, error) {
	text := bufio.NewScanner(answer)
	text.Buffer(make([]byte, 0, 16<<10), MaxBatch) // a refusal may name a field that is nearly as long as its line
	all = slices.Grow(all, lines)
	for text.Scan() {
		o, known := usual[string(text.Bytes())]
		if !known {
			var err error
			if o, err = decode(text.Bytes()); err != nil {
				return nil, err
			}
		}
		all = append(all, o)
	}
	if len(all) != lines && text.Err() == nil {
		return nil, fmt.Errorf("%d lines of an answer to %d", len(all), lines)
	}
	return all, text.Err()
}

func decode(line []byte) (o Outcome, err error) {
	err = json.Unmarshal(line, &o)
	return o, err
}
