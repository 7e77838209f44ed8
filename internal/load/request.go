package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"

	"trackway/internal/clientip"
)

// post is a request to send: its content and its customer.
type post struct {
	path     string
	body     []byte
	customer int
	first    uint64 // serial number of its first event
	events   int
}

// post makes the nth request. The serial numbers of its events start at first.
func (p *Plan) post(n, first uint64) post {
	kind := p.Mix.kind(n)
	r := post{customer: int(n % uint64(p.Customers)), first: first, events: p.events(kind), path: "batch"}
	registered := `{"registered":"` + p.customer(r.customer) + `"}`
	if kind == Single {
		r.path, r.body = "customers/events", p.appendEvent(nil, registered, first)
		return r
	}
	b := []byte(`{"commands":[`)
	for i := range r.events {
		ids := registered
		if kind == Merge {
			cookie := `"cookie":"` + p.Name + "-" + strconv.FormatUint(n, 10) + `"`
			ids = map[int]string{0: "{" + cookie + "}", 1: registered[:len(registered)-1] + "," + cookie + "}"}[i]
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"name":"customers/events","data":`...)
		b = append(p.appendEvent(b, ids, first+uint64(i)), '}')
	}
	r.body = append(b, "]}"...)
	return r
}

// EventType is the type of all events of a run.
const EventType = "bench"

// began is the time of the event with the serial number 0, in seconds since
// 1970. Each event has a microsecond of its own.
const began = 1_700_000_000

func (p *Plan) appendEvent(b []byte, ids string, serial uint64) []byte {
	b = append(b, `{"customer_ids":`...)
	b = append(b, ids...)
	b = append(b, `,"event_type":"`+EventType+`","timestamp":`...)
	b = strconv.AppendUint(b, began+serial/1e6, 10)
	b = append(b, '.')
	micros := strconv.FormatUint(1e6+serial%1e6, 10) // the leading 1 keeps zeros
	b = append(b, micros[1:]...)
	b = append(b, `,"properties":{"n":`...)
	b = strconv.AppendUint(b, serial, 10)
	b = append(b, `,"text":"`...)
	b = append(b, bytes.Repeat([]byte{'x'}, p.Bytes)...)
	return append(b, `"}}`...)
}

// fate is the outcome of a request.
type fate int

const (
	acknowledged fate = iota
	limited           // 429: nothing was stored
	failed            // refused: nothing was stored
	unknown           // no answer, or a 5xx: it may be stored or not
	unreached         // no connection: nothing was stored
)

// send sends the nth request and returns its outcome, with the reason if it is
// not acknowledged.
func (p *Plan) send(ctx context.Context, n uint64, r *post) (fate, string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/track/v2/projects/"+p.Project+"/"+r.path, bytes.NewReader(r.body))
	if err != nil {
		return failed, err.Error()
	}
	req.Header.Set("Authorization", p.Track)
	req.Header.Set("Content-Type", "application/json")
	p.pretend(req, n)
	res, err := p.Client.Do(req)
	if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" {
		return unreached, reason(err)
	}
	if err != nil {
		return unknown, reason(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // the body has been read
	switch {
	case err != nil:
		return unknown, reason(err)
	case res.StatusCode == http.StatusOK:
		return p.judge(body, r)
	case res.StatusCode == http.StatusTooManyRequests:
		return limited, "429"
	case res.StatusCode >= http.StatusInternalServerError:
		return unknown, res.Status
	}
	return failed, res.Status
}

func (p *Plan) pretend(req *http.Request, n uint64) {
	if p.Addresses > 0 {
		req.Header.Set(p.Header, clientip.HeaderValue(p.Header, p.address(n)))
	}
}

// judge reads the body of a 200. If the server refused a part of a batch, the
// batch is no success.
func (p *Plan) judge(body []byte, r *post) (fate, string) {
	var answer struct {
		Success bool
		Results []struct{ Success bool }
	}
	if err := json.Unmarshal(body, &answer); err != nil || !answer.Success {
		return unknown, "200 with another body than expected"
	}
	if r.path != "batch" {
		return acknowledged, ""
	}
	good := 0
	for _, one := range answer.Results {
		if one.Success {
			good++
		}
	}
	if good != r.events || len(answer.Results) != r.events {
		return unknown, "a batch of which a part was refused"
	}
	return acknowledged, ""
}
