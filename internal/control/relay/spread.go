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
	Lists  []string // the destinations that its server lists, if it works for the partition
}

// Unanswered is a partition of which nothing is known, and why.
type Unanswered struct {
	Partition string `json:"partition"`
	Error     string `json:"error"`
}

// Err returns an error that names the partitions that have not answered, or nil
// if all have.
func Err(missing []Unanswered) error {
	if len(missing) == 0 {
		return nil
	}
	errs := make([]error, len(missing))
	for i, one := range missing {
		errs[i] = fmt.Errorf("partition %s: %s", one.Partition, one.Error)
	}
	return errors.Join(errs...)
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
		case len(places) > 1 && r.URL.Path == "/destinations":
			gather(w, r, places, "destinations")
		case len(places) > 1 && r.URL.Path == "/destinations/mirrors":
			gather(w, r, places, "mirrors")
		case !slices.ContainsFunc(places, func(p Place) bool { return p.Server != places[0].Server }):
			places[0].Serve.ServeHTTP(w, r)
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
// lists the partitions that it answers for. Those of which nothing is listed
// are named besides, unless nobody has answered: then that is the answer.
func gather(w http.ResponseWriter, r *http.Request, places []Place, list string) {
	all, missing := []json.RawMessage{}, []Unanswered{}
	failed, names := make(map[string]error), make(map[string]bool) // by server; of rows
	for _, p := range places {
		if _, asked := failed[p.Server]; asked {
			continue
		}
		var got map[string][]json.RawMessage
		failed[p.Server] = Ask(p.Serve, r, &got)
		for _, row := range got[list] {
			names[string(nameIn(row))] = true
		}
		all = append(all, got[list]...)
	}
	for _, p := range places {
		err := failed[p.Server]
		for _, name := range p.Lists {
			if err == nil && !names[name] {
				err = fmt.Errorf("the server that leads it does not send to %s yet", name)
			}
		}
		if err != nil {
			missing = append(missing, Unanswered{p.Name, err.Error()})
		}
	}
	if len(missing) == len(places) {
		Refuse(w, Err(missing).Error())
		return
	}
	slices.SortStableFunc(all, func(a, b json.RawMessage) int { return bytes.Compare(nameIn(a), nameIn(b)) })
	answer := map[string]any{list: all}
	if len(missing) > 0 {
		answer["unanswered"] = missing
	}
	reply(w, answer)
}

// nameIn returns the name of a destination in a list.
func nameIn(row json.RawMessage) []byte {
	var named struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(row, &named) // then it comes first
	return []byte(named.Name)
}

// each asks about the destination in each partition. The errors are in the
// order of the partitions, and name them.
func each(r *http.Request, places []Place, into func(p Place) any) (errs []error) {
	for _, p := range places {
		one := r.Clone(r.Context())
		query := one.URL.Query()
		query.Set("name", query.Get("name")+"/"+p.Name)
		one.URL = &url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
		err := Ask(p.Serve, one, into(p))
		if err != nil {
			err = fmt.Errorf("%s: %w", p.Name, err)
		}
		errs = append(errs, err)
	}
	return errs
}

func doEach(w http.ResponseWriter, r *http.Request, places []Place) {
	if err := errors.Join(each(r, places, func(Place) any { return nil })...); err != nil {
		Refuse(w, err.Error())
	}
}

// checkEach answers a check of all partitions. Those that fail are no error of
// the call, and neither are those that do not answer.
func checkEach(w http.ResponseWriter, r *http.Request, places []Place) {
	type checked struct {
		Name  string `json:"name"`
		Error string `json:"error,omitempty"`
	}
	answers := make(map[string]*checked)
	failed := each(r, places, func(p Place) any {
		answers[p.Name] = new(checked)
		return answers[p.Name]
	})
	for i, p := range places {
		if why := answers[p.Name].Error; failed[i] == nil && why != "" {
			failed[i] = fmt.Errorf("%s: %s", p.Name, why)
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
