package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readerID is a key that may read only first names, and which customers they
// belong to.
const (
	readerID     = "reader-id-5bd0c8e172"
	readerSecret = "reader-secret-19f4a6cc0e"
)

// withReader adds that key, and a consent category.
var withReader = strings.Replace(baseConfig, "    keys:\n", `    consent_categories:
      - {id: newsletter, name: Newsletter}
      - {id: sms, name: SMS, legitimate_interest: true}
      - {id: partners, name: Partners, legitimate_interest: true}
    keys:
      - {name: reader, kind: private, id: "`+readerID+`", secret: "`+readerSecret+`", permissions: ["customers:get:registered", "customers:get:first_name"]}
`, 1)

// TestPythonSDK makes all tracking and data calls with the official Python
// client, unchanged. The client must find what it looks for in the answers.
// Every call is checked against the contract.
func TestPythonSDK(t *testing.T) {
	t.Parallel()
	s := start(t, withReader+wideLimits)
	s.log.private("jane@example.com", "joe@example.com", readerID, readerSecret)
	out := runClient(t, []string{"python3", "exponea_sdk.py", projectToken, privateID, secretKey, readerID, readerSecret}, s.front(t))
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	type object = map[string]any
	type list = []any
	ids := object{"registered": "jane@example.com"}
	properties := object{"first_name": "Jané", "age": 32.0, "tags": list{"a", nil}}
	event := object{"type": "purchase", "timestamp": 1700000000.25, "properties": object{"total": 7.99}}
	consent := func(category, action string) object {
		return object{"type": "consent", "timestamp": 1700000001.0, "properties": object{"category": category, "action": action}}
	}
	want := object{
		"time": true, "update": true, "event": true,
		"stranger":  "APIException: Invalid secret",
		"bad event": "APIException: ['At least one id should be specified.']",
		"batch":     list{true, true, true, true, false},
		"customer":  object{"ids": ids, "properties": properties, "events": list{event, consent("newsletter", "accept"), consent("sms", "reject")}},
		"events":    list{event},
		"attributes": object{
			"properties": object{"first_name": "Jané", "no_such": nil}, "ids": ids, "segmentations": object{"s": nil},
		},
		"consents": object{"newsletter": true, "sms": false, "partners": true, "no_such": nil},
		"customers": list{
			object{"ids": object{"registered": "jane@example.com", "cookie": nil}, "properties": properties},
			object{"ids": object{"registered": "joe@example.com", "cookie": nil}, "properties": object{"first_name": nil, "age": 41.0, "tags": nil}},
		},
		"other: attributes": object{"properties": object{"first_name": "Jané", "age": nil}, "ids": ids},
		"other: consents":   object{"newsletter": nil},
		"other: customer":   object{"ids": ids, "properties": object{"first_name": "Jané"}, "events": list{}},
		"other: customers": list{
			object{"ids": ids, "properties": object{"first_name": "Jané"}},
			object{"ids": object{"registered": "joe@example.com"}, "properties": object{"first_name": nil}},
		},
		"other: events":    "APIException: [['Not authorized: this key does not have the permission events:get.']]",
		"other: event":     "APIException: ['Not authorized: this key does not have the permission events:set.']",
		"other: anonymize": "APIException: [['Not authorized: this key does not have the permission gdpr.']]",
		"anonymize":        true,
		"gone":             "APIException: [['Customer does not exist']]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}

// front returns the address of a proxy that checks each call against the
// contract.
func (s *server) front(t *testing.T) string {
	t.Helper()
	proxy := &httputil.ReverseProxy{
		Transport: contract,
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: s.public}) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			t.Errorf("the call departs from the contract, or there is no answer: %v", err)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	return front.URL
}
