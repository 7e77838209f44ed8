package api

import (
	"bytes"
	"cmp"
	"context"
	"strconv"
	"time"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/tracking"
	"trackway/internal/query"
)

// consentType is the type of the events that say what a customer consents to.
// Of their properties, action is accept or something else, category is the
// purpose, and valid_until (Unix seconds, or unlimited) is the end of the
// consent.
const consentType = "consent"

// category is a consent category as clients know it: mobile SDKs ask for all of
// these.
type category struct {
	ID                 string            `json:"id"`
	Name               string            `json:"name"`
	Description        string            `json:"description"`
	LegitimateInterest bool              `json:"legitimate_interest"`
	Sources            sources           `json:"sources"`
	Translations       map[string]string `json:"translations"`
}

// sources says where a consent may come from. Here that is the tracking API, by
// either kind of key, and nothing else.
type sources struct {
	CRM        bool `json:"crm"`
	Import     bool `json:"import"`
	Page       bool `json:"page"`
	PrivateAPI bool `json:"private_api"`
	PublicAPI  bool `json:"public_api"`
	Scenario   bool `json:"scenario"`
}

// consentCategories answers what customers of the project may consent to.
func (c *reading) consentCategories() error {
	results := []category{}
	for _, known := range c.grant.Project.Consents {
		results = append(results, category{
			ID: known.ID, Name: known.Name, Description: known.Description, LegitimateInterest: known.LegitimateInterest,
			Sources: sources{PrivateAPI: true, PublicAPI: true}, Translations: map[string]string{},
		})
	}
	return c.encoded(struct {
		Results []category `json:"results"`
		Success bool       `json:"success"`
	}{results, true})
}

// consents returns whether the customer consents to each of the requested
// categories that the project has. The newest event about a category decides.
// If there is no such event, the category's legitimate interest decides. Cost:
// a walk back through the customer's events, until all categories are found.
//
// An event from the future counts as of its receipt. Otherwise one wrong clock,
// or anybody with a public key, would decide for years. The walk follows the
// events' own times, and what counts is never later, so it still ends early.
func (c *reading) consents(
	ctx context.Context, s query.Snapshot, customer trackway.Customer, asked []tracking.Attribute,
) (map[string]bool, error) {
	said, open := c.beforeAnyConsent(asked)
	if len(open) == 0 {
		return said, nil
	}
	found := make(map[string]trackway.Event) // by category: the newest so far, of those that are still open
	newest := query.EventFilter{Types: []string{consentType}, NewestFirst: true}
	err := query.Events(ctx, s, c.grant.Project.Number, customer, newest, func(e *trackway.Event) bool {
		about, accepted := readConsent(e, c.received)
		if id, ok := open[about]; ok {
			if before, again := found[about]; !again || saidLater(e, &before) {
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

// saidLater reports whether an event about a consent is later than another one.
// An event from the future counts as of its receipt.
func saidLater(e, other *trackway.Event) bool {
	return cmp.Or(
		cmp.Compare(min(e.Time, e.Received), min(other.Time, other.Received)),
		cmp.Compare(e.Received, other.Received),
		cmp.Compare(e.Seq, other.Seq),
	) > 0
}

// beforeAnyConsent returns what holds until the customer says something, and
// the same categories by their ids as events have them. It leaves out those
// that the caller may not read.
func (c *reading) beforeAnyConsent(asked []tracking.Attribute) (said map[string]bool, open map[string]string) {
	said, open = map[string]bool{}, map[string]string{}
	for _, a := range asked {
		if a.Type != tracking.ConsentAttribute || !mayRead(c.grant.Key, a) {
			continue
		}
		for _, known := range c.grant.Project.Consents {
			if known.ID == a.Name {
				said[a.Name] = known.LegitimateInterest
				open[string(canonjson.AppendString(nil, a.Name))] = a.Name
			}
		}
	}
	return said, open
}

// readConsent returns the category that an event is about, as JSON, and whether
// it is consented to at a time.
func readConsent(e *trackway.Event, at time.Time) (category string, accepted bool) {
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
