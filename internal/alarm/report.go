package alarm

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"trackway/internal/config/alarming"
)

// Report is what operators see of the alarms. Its JSON is the answer of
// /api/alarms.
type Report struct {
	At        time.Time     `json:"at"`
	Ringing   []Row         `json:"ringing"` // newest first
	Waiting   []Row         `json:"waiting"` // wrong, but not yet for as long as the rule says
	Past      []Row         `json:"past"`    // newest first
	Rules     []RuleRow     `json:"rules"`
	Receivers []ReceiverRow `json:"receivers"`
	Gaps      []Gap         `json:"gaps"` // in which the server did not run, newest first
	Zone      string        `json:"zone"` // empty: unknown
	// Leads says whether this server tells what is wrong with data that other
	// servers of its cluster have, too. A server that stands alone does.
	Leads bool `json:"leads"`
}

// Row is an alarm.
type Row struct {
	Kind     string     `json:"kind"`
	Subject  string     `json:"subject"`
	Headline string     `json:"headline"`
	Text     string     `json:"text"`
	Since    time.Time  `json:"since"`
	Rang     *time.Time `json:"rang"`
	Ended    *time.Time `json:"ended"`
}

// RuleRow is a rule in words.
type RuleRow struct {
	Kind  string `json:"kind"`
	Watch string `json:"watches"` // what it watches
	Rings string `json:"rings"`   // when it rings
}

// ReceiverRow is the state of a receiver.
type ReceiverRow struct {
	Name    string     `json:"name"`
	Kind    string     `json:"kind"`
	Pending int        `json:"pending"` // what it was not told yet
	LeftOut int        `json:"left_out"`
	Told    *time.Time `json:"last_success"` // null: nothing since the start
	Failed  *time.Time `json:"last_failure"`
	Error   string     `json:"error,omitempty"` // of the last attempt, if that failed
}

const shownGaps = 20

// Report returns the state of the alarms. told says what became of the messages
// to a receiver.
func (w *Watch) Report(now time.Time, told func(receiver string) (success, failure time.Time, err string)) Report {
	setup := w.setup.Load()
	r := Report{
		At: now.UTC().Truncate(time.Second), Ringing: []Row{}, Waiting: []Row{}, Past: []Row{}, Rules: []RuleRow{}, Receivers: []ReceiverRow{},
		Gaps: []Gap{}, Leads: w.Leads(), Zone: setup.Zone,
	}
	w.Book.read(func(s *state) {
		for i := range s.Alarms {
			if a := &s.Alarms[i]; a.Rings() {
				r.Ringing = append(r.Ringing, rowOf(a))
			} else {
				r.Waiting = append(r.Waiting, rowOf(a))
			}
		}
		for i := range s.Past {
			r.Past = append(r.Past, rowOf(&s.Past[i]))
		}
		for i := range setup.Receivers {
			c := &setup.Receivers[i]
			success, failure, err := told(c.Name)
			box := s.Outbox[c.Name]
			r.Receivers = append(r.Receivers, ReceiverRow{c.Name, c.Kind, len(box.Notices), box.LeftOut, given(success), given(failure), err})
		}
		for _, g := range slices.Backward(s.Gaps[max(len(s.Gaps)-shownGaps, 0):]) {
			if !g.Unknown {
				r.Gaps = append(r.Gaps, Gap{From: whole(g.From), To: whole(g.To)})
			}
		}
	})
	newest := func(a, b Row) int { return b.Since.Compare(a.Since) }
	slices.SortStableFunc(r.Ringing, newest)
	slices.SortStableFunc(r.Waiting, newest)
	for i := range setup.Rules {
		r.Rules = append(r.Rules, inWords(&setup.Rules[i]))
	}
	return r
}

// Ringing returns how many alarms ring, by kind.
func (w *Watch) Ringing() map[string]int {
	n := make(map[string]int)
	w.Book.read(func(s *state) {
		for i := range s.Alarms {
			if s.Alarms[i].Rings() {
				n[s.Alarms[i].Kind]++
			}
		}
	})
	return n
}

func rowOf(a *Alarm) Row {
	return Row{a.Kind, a.Subject, Headline(a.Kind, a.Subject), a.Text, whole(a.Since), given(a.Rang), given(a.Ended)}
}

func whole(at time.Time) time.Time { return at.UTC().Truncate(time.Second) }

func given(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = whole(at)
	return &at
}

// inWords describes a rule.
func inWords(r *alarming.Rule) RuleRow {
	watches, rings := "the server", map[string]string{
		alarming.Silence:            fmt.Sprintf("fewer than %d %% of the events of the same hour, in the least of %d weeks, if those were %d or more", r.Percent, r.Weeks, r.Least),
		alarming.Refusals:           fmt.Sprintf("more than %d %% of at least %d commands in ten minutes are invalid", r.Percent, r.Least),
		alarming.KeyRefused:         fmt.Sprintf("more than %d %% of at least %d commands of the key in ten minutes are refused", r.Percent, r.Least),
		alarming.ContractBroken:     fmt.Sprintf("more than %d %% of at least %d events broke their contract, in this hour and the one before", r.Percent, r.Least),
		alarming.NewType:            "a type of events came for the first time within " + span(r.Age),
		alarming.ChangedType:        fmt.Sprintf("at least %d values of a property have a JSON type that came for the first time within %s", r.Least, span(r.Age)),
		alarming.LimitRefuses:       fmt.Sprintf("more than %d %% of the calls in ten minutes are refused", r.Percent),
		alarming.LimitNear:          fmt.Sprintf("1 of 100 callers uses %d %% of the limit", r.Percent),
		alarming.DestinationLags:    "it lags by more than " + span(r.Age),
		alarming.DestinationStopped: "it waits for an operator",
		alarming.DiskNearlyFull:     fmt.Sprintf("less than %d %% of a disk with data is free", r.Percent),
		alarming.DiskFull:           "the store has no room",
		alarming.StoreDamaged:       "a part of the store cannot be read",
		alarming.CommandsFail:       "commands cannot be stored",
		alarming.CertificateEnds:    "the certificate ends within " + span(r.Age),
		alarming.CertificateInvalid: "there is no valid certificate",
		alarming.ErasureLate:        "an erasure is not done after " + span(r.Age),
		alarming.WasDown:            "it did not run for " + span(r.Age) + "; told after the start",
	}[r.Kind]
	switch {
	case r.Kind == alarming.Silence:
		watches = each(r.Project, "project")
		if r.Type != "" {
			watches = each(strings.TrimPrefix(r.Type, alarming.Every), "type") + " of " + watches
		}
	case r.OfProject():
		watches = each(r.Project, "project")
		if r.Kind == alarming.KeyRefused {
			watches = "each key of " + watches
		}
	case r.Kind == alarming.LimitRefuses || r.Kind == alarming.LimitNear:
		watches = each(r.Policy, "limit")
	case r.Kind == alarming.DestinationLags || r.Kind == alarming.DestinationStopped:
		watches = each(r.Destination, "destination")
	}
	if r.For > 0 {
		rings += ", for " + span(r.For)
	}
	return RuleRow{r.Kind, watches, rings}
}

func each(name, what string) string {
	if name == "" {
		return "each " + what
	}
	return what + " " + shown(name)
}

// span writes a duration in its largest whole unit.
func span(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := d / unit.of; n > 0 && d%unit.of == 0 {
			if n == 1 {
				return "1 " + unit.name
			}
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return d.String()
}
