package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// Place is a partition, with the server that answers for it.
type Place struct {
	Name   string // of the partition
	Server string // another text for each server
	Serve  http.Handler
}

// Spread serves what operators ask about the destinations of several
// partitions, which may be led by different servers. of returns those that a
// request is about. here answers what is about none of them, and says which one
// to choose if only one may be meant.
func Spread(here http.Handler, of func(*http.Request) []Place) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		places := of(r)
		switch {
		case len(places) == 0:
			here.ServeHTTP(w, r)
		case !slices.ContainsFunc(places, func(p Place) bool { return p.Server != places[0].Server }):
			places[0].Serve.ServeHTTP(w, r)
		case r.URL.Path == "/destinations":
			gather(w, r, places, "destinations")
		case r.URL.Path == "/destinations/mirrors":
			gather(w, r, places, "mirrors")
		case r.URL.Path == "/destinations/check":
			checkEach(w, r, places)
		case r.URL.Path == "/destinations/pause", r.URL.Path == "/destinations/resume":
			doEach(w, r, places)
		default:
			here.ServeHTTP(w, r)
		}
	})
}

// Answer is an answer as it is recorded: see [Ask].
type Answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements [http.ResponseWriter].
func (a *Answer) Header() http.Header { return a.header }

// WriteHeader implements [http.ResponseWriter].
func (a *Answer) WriteHeader(status int) { a.status = status }

// Write implements [http.ResponseWriter].
func (a *Answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// Ask returns the answer of a handler to a request. An error in it is returned,
// too.
func Ask(h http.Handler, r *http.Request, into any) error {
	a := &Answer{header: make(http.Header), status: http.StatusOK}
	h.ServeHTTP(a, r)
	if a.status != http.StatusOK {
		var refused struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(a.body.Bytes(), &refused) != nil || refused.Error == "" {
			return fmt.Errorf("status %d", a.status)
		}
		return errors.New(refused.Error)
	}
	if into == nil || a.body.Len() == 0 {
		return nil
	}
	return json.Unmarshal(a.body.Bytes(), into)
}

// gather answers with the list that each server has under a name. A server
// lists the partitions that it answers for.
func gather(w http.ResponseWriter, r *http.Request, places []Place, list string) {
	all := []json.RawMessage{}
	asked := make(map[string]bool)
	for _, p := range places {
		if asked[p.Server] {
			continue
		}
		asked[p.Server] = true
		var got map[string][]json.RawMessage
		if err := Ask(p.Serve, r, &got); err != nil {
			Refuse(w, "partition "+p.Name+": "+err.Error())
			return
		}
		all = append(all, got[list]...)
	}
	slices.SortStableFunc(all, func(a, b json.RawMessage) int { return bytes.Compare(nameIn(a), nameIn(b)) })
	reply(w, map[string][]json.RawMessage{list: all})
}

// nameIn returns the name of a destination in a list.
func nameIn(row json.RawMessage) []byte {
	var named struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(row, &named) // then it comes first
	return []byte(named.Name)
}

// each asks about the destination in each partition.
func each(r *http.Request, places []Place, into func(p Place) any) error {
	var errs []error
	for _, p := range places {
		one := r.Clone(r.Context())
		query := one.URL.Query()
		query.Set("name", query.Get("name")+"/"+p.Name)
		one.URL = &url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
		if err := Ask(p.Serve, one, into(p)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.Name, err))
		}
	}
	return errors.Join(errs...)
}

func doEach(w http.ResponseWriter, r *http.Request, places []Place) {
	if err := each(r, places, func(Place) any { return nil }); err != nil {
		Refuse(w, err.Error())
	}
}

// checkEach answers a check of all partitions. Those that fail are no error of
// the call.
func checkEach(w http.ResponseWriter, r *http.Request, places []Place) {
	type checked struct {
		Name  string `json:"name"`
		Error string `json:"error,omitempty"`
	}
	answers := make(map[string]*checked)
	err := each(r, places, func(p Place) any {
		answers[p.Name] = new(checked)
		return answers[p.Name]
	})
	if err != nil {
		Refuse(w, err.Error())
		return
	}
	var failed []error
	for _, p := range places {
		if why := answers[p.Name].Error; why != "" {
			failed = append(failed, fmt.Errorf("%s: %s", p.Name, why))
		}
	}
	answer := checked{Name: r.URL.Query().Get("name")}
	if err := errors.Join(failed...); err != nil {
		answer.Error = err.Error()
	}
	reply(w, answer)
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // an error means that the caller has gone
}
