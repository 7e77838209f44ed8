package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"trackway/internal/sleep"
)

// Verification compares the acknowledged events with the stored ones.
type Verification struct {
	Acknowledged uint64 `json:"acknowledged"` // events
	Stored       uint64 `json:"stored"`       // events found, acknowledged or not
	Missing      uint64 `json:"missing"`      // acknowledged, not stored
	Repeated     uint64 `json:"repeated"`     // stored more than once
	Foreign      uint64 `json:"foreign"`      // stored, but never sent, or refused
	Unanswered   uint64 `json:"unanswered"`   // stored events of unanswered requests
}

// Sound reports whether the server has kept its promise.
func (v *Verification) Sound() bool { return v.Missing == 0 && v.Repeated == 0 && v.Foreign == 0 }

// Verify reads back all events of the run. It obeys the limits of the data API,
// so it takes long if there are many customers.
func (r *Run) Verify(ctx context.Context) (*Verification, error) {
	var v Verification
	for k := range r.ledger {
		a := &r.ledger[k]
		if len(a.acknowledged)+len(a.unknown) == 0 {
			continue
		}
		stored, err := r.stored(ctx, k, len(a.acknowledged)+len(a.unknown))
		if err != nil {
			return nil, fmt.Errorf("verify: %w", err)
		}
		v.compare(a, stored)
	}
	return &v, nil
}

func (v *Verification) compare(a *account, stored map[uint64]int) {
	v.Acknowledged += uint64(len(a.acknowledged))
	for _, n := range a.acknowledged {
		if stored[n] == 0 {
			v.Missing++
		}
		v.settle(stored, n)
	}
	for _, n := range a.unknown {
		if stored[n] > 0 {
			v.Unanswered++
		}
		v.settle(stored, n)
	}
	for _, count := range stored {
		v.Stored += uint64(count)
		v.Foreign += uint64(count)
	}
}

// settle counts a sent event and crosses it off.
func (v *Verification) settle(stored map[uint64]int, n uint64) {
	v.Stored += uint64(stored[n])
	if stored[n] > 1 {
		v.Repeated++
	}
	delete(stored, n)
}

// Reach asks the server for its time, and for a customer that does not exist.
// It returns an error if the server does not answer, does not know the project,
// or does not let the keys send and read.
func (p *Plan) Reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lastAnswer, errors.New("no answer in time"))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/track/v2/projects/"+p.Project+"/system/time", http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", p.Track)
	if err := p.reach(req, func(status int) bool { return status == http.StatusOK }); err != nil {
		return err
	}
	if req, err = p.reading(ctx, 0, 0); err != nil {
		return err
	}
	return p.reach(req, func(status int) bool { return status != http.StatusUnauthorized && status != http.StatusForbidden })
}

// reach sends a request and checks the status of the answer.
func (p *Plan) reach(req *http.Request, good func(status int) bool) error {
	p.pretend(req, 0)
	res, err := p.Client.Do(req) //nolint:gosec // G704: the operator has said which server
	if err != nil {
		return fmt.Errorf("no answer from %s: %s", p.URL, reason(err))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, pageRows))
	_ = res.Body.Close() // the body has been read
	if err != nil {
		return err
	}
	if !good(res.StatusCode) {
		return fmt.Errorf("the server at %s refuses: %s %s", p.URL, res.Status, strings.Map(printable, string(body)))
	}
	return nil
}

// printable replaces characters that a terminal would interpret.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '?'
}

const pageRows = 1000

// stored returns how often each event of a customer is stored, by serial
// number.
func (r *Run) stored(ctx context.Context, customer, about int) (map[uint64]int, error) {
	found := make(map[uint64]int, about)
	for skip := 0; ; skip += pageRows {
		body, err := r.read(ctx, customer, skip)
		if err != nil {
			return nil, err
		}
		var answer struct {
			Success bool
			Data    []struct{ Properties struct{ N *uint64 } }
		}
		if err := json.Unmarshal(body, &answer); err != nil || !answer.Success {
			return nil, errors.New("the answer of the data API cannot be read")
		}
		for _, e := range answer.Data {
			if e.Properties.N == nil {
				return nil, errors.New("an event without its number: was it sent by this run?")
			}
			found[*e.Properties.N]++
		}
		if len(answer.Data) < pageRows {
			return found, nil
		}
	}
}

// reading returns a request for a page of a customer's events.
func (p *Plan) reading(ctx context.Context, customer, skip int) (*http.Request, error) {
	ask := `{"customer_ids":{"registered":"` + p.customer(customer) + `"},"event_types":["` + EventType + `"],"order":"asc","limit":` +
		strconv.Itoa(pageRows) + `,"skip":` + strconv.Itoa(skip) + `}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/data/v2/projects/"+p.Project+"/customers/events", strings.NewReader(ask))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", p.Read)
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

// maxTries is how often a page is asked for that no server answers. In a
// cluster, or behind a proxy, another one may soon do so.
const maxTries = 10

// read returns a page of a customer's events. It waits as long as the server
// requests.
func (r *Run) read(ctx context.Context, customer, skip int) ([]byte, error) {
	for tries := 1; ; {
		req, err := r.reading(ctx, customer, skip)
		if err != nil {
			return nil, err
		}
		r.pretend(req, r.requests.Add(1))
		res, err := r.Client.Do(req)
		if err != nil {
			return nil, errors.New(reason(err))
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close() // the body has been read
		switch {
		case err != nil:
			return nil, err
		case res.StatusCode == http.StatusOK:
			return body, nil
		case res.StatusCode == http.StatusNotFound: // none of its events were stored
			return []byte(`{"success":true,"data":[]}`), nil
		case res.StatusCode >= http.StatusBadGateway && res.StatusCode <= http.StatusGatewayTimeout && tries < maxTries:
			tries++
		case res.StatusCode != http.StatusTooManyRequests:
			return nil, fmt.Errorf("the data API answers %s", res.Status)
		}
		if err := pause(ctx, res.Header.Get("Retry-After")); err != nil {
			return nil, err
		}
	}
}

// pause waits for so many seconds, at least one.
func pause(ctx context.Context, seconds string) error {
	n, _ := strconv.Atoi(seconds)
	return sleep.For(ctx, max(time.Duration(n)*time.Second, time.Second))
}
