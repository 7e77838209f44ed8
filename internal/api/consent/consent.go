// Package consent knows what customers consent to: the categories of a project,
// and the events that say yes or no to one.
package consent

import (
	"bytes"
	"cmp"
	"context"
	"strconv"
	"time"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/query"
)

// Type is the type of the events that record consent. Their properties are:
// action, which is accept or something else; category, the purpose; and
// valid_until (Unix seconds, or unlimited), the end of the consent.
const Type = "consent"

// Category is a consent category as clients know it: mobile SDKs ask for all of
// these.
type Category struct {
	ID                 string            `json:"id"`
	Name               string            `json:"name"`
	Description        string            `json:"description"`
	LegitimateInterest bool              `json:"legitimate_interest"`
	Sources            Sources           `json:"sources"`
	Translations       map[string]string `json:"translations"`
}

// Sources says where a consent may come from. Here that is the tracking API, by
// either kind of key, and nothing else.
type Sources struct {
	CRM        bool `json:"crm"`
	Import     bool `json:"import"`
	Page       bool `json:"page"`
	PrivateAPI bool `json:"private_api"`
	PublicAPI  bool `json:"public_api"`
	Scenario   bool `json:"scenario"`
}

// List is the answer to clients that ask what customers may consent to.
type List struct {
	Results []Category `json:"results"`
	Success bool       `json:"success"`
}

// ListOf returns what customers of a project may consent to.
func ListOf(p *trackway.Project) List {
	results := []Category{}
	for _, known := range p.Consents {
		results = append(results, Category{
			ID: known.ID, Name: known.Name, Description: known.Description, LegitimateInterest: known.LegitimateInterest,
			Sources: Sources{PrivateAPI: true, PublicAPI: true}, Translations: map[string]string{},
		})
	}
	return List{results, true}
}

// Of returns whether a customer consents to each of these categories that the
// project has. The newest event about a category decides. If there is no such
// event, the category's legitimate interest decides. Cost: a walk back through
// the customer's events, until all categories are found.
//
// An event from the future counts as of its receipt. Otherwise one wrong clock,
// or anybody with a public key, would decide for years. The walk follows the
// events' own times, and what counts is never later, so it still ends early.
func Of(
	ctx context.Context, s query.Snapshot, p *trackway.Project, customer trackway.Customer, categories []string, now time.Time,
) (map[string]bool, error) {
	said, open := beforeAny(p, categories)
	if len(open) == 0 {
		return said, nil
	}
	found := make(map[string]trackway.Event) // by category: the newest so far, of those that are still open
	newest := query.EventFilter{Types: []string{Type}, NewestFirst: true}
	err := query.Events(ctx, s, p.Number, customer, newest, func(e *trackway.Event) bool {
		about, accepted := read(e, now)
		if id, ok := open[about]; ok {
			if before, again := found[about]; !again || later(e, &before) {
				said[id], found[about] = accepted, trackway.Event{Seq: e.Seq, Time: e.Time, Received: e.Received}
			}
		}
		for about, latest := range found {
			if latest.Time <= latest.Received || e.Time < latest.Received { // nothing that follows is later
				delete(open, about)
				delete(found, about)
			}
		}
		return len(open) > 0
	})
	return said, err
}

// beforeAny returns what holds before the customer has recorded any consent. It
// also returns the categories by their ids in the form in which events have
// them.
func beforeAny(p *trackway.Project, categories []string) (said map[string]bool, open map[string]string) {
	said, open = map[string]bool{}, map[string]string{}
	for _, id := range categories {
		for _, known := range p.Consents {
			if known.ID == id {
				said[id] = known.LegitimateInterest
				open[string(canonjson.AppendString(nil, id))] = id
			}
		}
	}
	return said, open
}

// later reports whether an event about a consent is later than another one.
// An event from the future counts as of its receipt.
func later(e, other *trackway.Event) bool {
	return cmp.Or(
		cmp.Compare(min(e.Time, e.Received), min(other.Time, other.Received)),
		cmp.Compare(e.Received, other.Received),
		cmp.Compare(e.Seq, other.Seq),
	) > 0
}

// read returns the category that an event is about, as JSON, and whether
// it is consented to at a time.
func read(e *trackway.Event, at time.Time) (category string, accepted bool) {
	holds := true
	for _, p := range canonjson.SplitObject(e.Properties) {
		switch p.Name {
		case "category":
			category = string(p.Value)
		case "action":
			accepted = string(p.Value) == `"accept"`
		case "valid_until":
			holds = isAfter(p.Value, at)
		}
	}
	return category, accepted && holds
}

// isAfter reports whether a consent ends after a time, or never (null,
// "unlimited"). If the end cannot be read, the consent has ended.
func isAfter(end []byte, at time.Time) bool {
	if bytes.Equal(end, []byte("null")) || bytes.Equal(end, []byte(`"unlimited"`)) {
		return true
	}
	seconds, err := strconv.ParseFloat(string(end), 64)
	return err == nil && seconds > float64(at.UnixMicro())/1e6
}
