package openapi

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestParse checks that nothing is missing that readers are shown.
func TestParse(t *testing.T) {
	t.Parallel()
	d, err := Parse()
	if err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.Summary == "" || d.Description == "" {
		t.Errorf("the document says too little about itself: %+v", d)
	}
	ids := map[string]bool{}
	for _, g := range d.Groups {
		if g.Name == "" || g.Description == "" || len(g.Routes) == 0 {
			t.Errorf("the group %q lacks something", g.Name)
		}
		for _, r := range g.Routes {
			if r.ID == "" || ids[r.ID] || r.Summary == "" || strings.HasSuffix(r.Summary, ".") {
				t.Errorf("%s %s: id %q (which must be its own), summary %q", r.Method, r.Path, r.ID, r.Summary)
			}
			ids[r.ID] = true
			checkRoute(t, &r)
		}
	}
}

func checkRoute(t *testing.T, r *Route) {
	t.Helper()
	if posted := r.Method == http.MethodPost; posted != (len(r.Body) > 0) || posted != json.Valid([]byte(r.Example)) {
		t.Errorf("%s: body %v, example %s", r.ID, r.Body, r.Example)
	}
	if strings.Contains(r.Path, "{token}") != slices.ContainsFunc(r.Parameters, func(f Field) bool { return f.Name == "token" && f.Required }) {
		t.Errorf("%s: the path has a parameter that is not told, or is told one that it has not", r.ID)
	}
	for _, f := range slices.Concat(r.Parameters, r.Body) {
		if f.Name == "" || f.In == "" || f.Type == "" || f.Description == "" {
			t.Errorf("%s: the field %q lacks something: %+v", r.ID, f.Name, f)
		}
	}
	for _, a := range r.Answers {
		if a.Description == "" || a.Status >= "4" && !json.Valid([]byte(a.Example)) {
			t.Errorf("%s: the answer %s lacks something: %+v", r.ID, a.Status, a)
		}
	}
}

// This checks one route completely, so that references, types, and the order of
// the members are covered.
func TestParseRoute(t *testing.T) {
	t.Parallel()
	d, err := Parse()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(d.Groups[0].Routes, func(r Route) bool { return r.ID == "addEvent" })
	r := d.Groups[0].Routes[i]
	if r.Method != http.MethodPost || r.Path != "/track/v2/projects/{token}/customers/events" || strings.Join(r.Keys, " ") != "publicKey accessToken privateKey" {
		t.Errorf("got %+v", r)
	}
	const example = `{"customer_ids": {"registered": "jane@example.com"}, "event_type": "purchase", "timestamp": 1700000000.25, "properties": {"total": 7.99}}`
	if r.Example != example {
		t.Errorf("got %s, want %s", r.Example, example)
	}
	want := "customer_ids:object! event_type:string! properties:object timestamp:number or string age:number type:string"
	var got []string
	for _, f := range r.Body {
		text := f.Name + ":" + f.Type
		if f.Required {
			text += "!"
		}
		got = append(got, text)
	}
	if strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, " "), want)
	}
	if first := r.Answers[0]; first.Status != "200" || first.Description != "It is on disk." || first.Example != `{"errors": [], "success": true}` {
		t.Errorf("got %+v", first)
	}
}

// A requirement of nothing in a route's security makes its key optional.
func TestOptionalKey(t *testing.T) {
	t.Parallel()
	d, err := Parse()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, g := range d.Groups {
		for _, r := range g.Routes {
			if r.KeyOptional {
				got[r.ID] = strings.Join(r.Keys, " ")
			}
		}
	}
	want := map[string]string{}
	for _, id := range []string{"streamUpdate", "streamEvent", "streamClick", "streamBatch", "streamConsentCategories"} {
		want[id] = "publicKey accessToken privateKey"
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
