package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway/client/internal/place"
)

// vectors reads a file of openapi/vectors strictly: an unknown member would be
// a rule without a test.
func vectors[P, G, E any](t *testing.T, name string) (parameters P, cases []vector[G, E]) {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("../openapi/vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Parameters P
		Cases      []vector[G, E]
	}
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(file.Cases) == 0 {
		t.Fatalf("%s has no cases", name)
	}
	return file.Parameters, file.Cases
}

type vector[G, E any] struct {
	Name      string
	Redirects bool
	Given     G
	Expect    E
}

func at(t *testing.T, date string) time.Time {
	t.Helper()
	if date == "" {
		return time.Unix(1_800_000_000, 0)
	}
	now, err := http.ParseTime(date)
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func headers(fields map[string]string) http.Header {
	h := http.Header{}
	for name, value := range fields {
		h.Set(name, value)
	}
	return h
}

// sameDelay compares two ranges, to the millisecond; want is in seconds.
func sameDelay(low, high time.Duration, want []float64) bool {
	near := func(d time.Duration, s float64) bool { return math.Abs(d.Seconds()-s) < 0.001 }
	return near(low, want[0]) && near(high, want[1])
}

func TestVectorsBackoff(t *testing.T) {
	t.Parallel()
	type given struct {
		Attempt, Commands, Status, Moves int
		Error, Body, Now, URL            string
		Headers                          map[string]string
	}
	type expect struct {
		Action, Reason, URL string
		Delay               []float64
		Failover            bool
	}
	p, cases := vectors[struct {
		Base, Cap, Spread, Most float64
		Moves                   int
	}, given, expect](t, "backoff.json")
	if p.Base != firstDelay.Seconds() || p.Cap != defaultMaxDelay.Seconds() || p.Spread != spread ||
		p.Most != maxRetryAfter.Seconds() || p.Moves != maxMoves {
		t.Errorf("got other parameters than %+v", p)
	}
	for _, c := range cases {
		a := answer{
			url: c.Given.URL, moves: c.Given.Moves, status: c.Given.Status, header: headers(c.Given.Headers),
			body: []byte(c.Given.Body),
		}
		if c.Given.Error != "" {
			a.err = errors.New(c.Given.Error)
		}
		d := rules{defaultMaxDelay}.decide(&a, c.Given.Attempt, c.Given.Commands, at(t, c.Given.Now))
		if string(d.action) != c.Expect.Action || d.failover != c.Expect.Failover || d.url != c.Expect.URL {
			t.Errorf("%s: got %+v, want %+v", c.Name, d, c.Expect)
		}
		if c.Expect.Delay == nil {
			c.Expect.Delay = []float64{0, 0}
		}
		if !sameDelay(d.low, d.high, c.Expect.Delay) {
			t.Errorf("%s: got a delay of %v to %v, want %v", c.Name, d.low, d.high, c.Expect.Delay)
		}
		if c.Expect.Reason != "" && d.reason != c.Expect.Reason {
			t.Errorf("%s: got the reason %q, want %q", c.Name, d.reason, c.Expect.Reason)
		}
	}
}

func TestVectorsPacing(t *testing.T) {
	t.Parallel()
	type seen struct {
		Policy   string
		R, T, At float64
		Calls    int
	}
	type given struct {
		Cost    float64
		Headers map[string]string
		Now     string
		Answers []seen
	}
	type expect struct{ Delay, Costs []float64 }
	p, cases := vectors[struct{ Free, Late, Same, Most float64 }, given, expect](t, "pacing.json")
	if p.Free != free || p.Late != late || p.Same != sameWindow.Seconds() || p.Most != maxRetryAfter.Seconds() {
		t.Errorf("got other parameters than %+v", p)
	}
	for _, c := range cases {
		if c.Given.Answers != nil {
			var pace pacer
			var costs []float64
			for _, a := range c.Given.Answers {
				pace.calls += a.Calls
				pace.learn(budget{policy: a.Policy, remaining: a.R, reset: a.T}, time.Unix(0, 0).Add(asDuration(a.At)))
				costs = append(costs, max(pace.cost, 1))
			}
			if diff := cmp.Diff(costs, c.Expect.Costs); diff != "" {
				t.Errorf("%s: costs (-got +want):\n%s", c.Name, diff)
			}
			continue
		}
		b, ok := governing(readBudgets(headers(c.Given.Headers), at(t, c.Given.Now)), c.Given.Cost)
		if low, high := b.delay(c.Given.Cost); ok != (c.Expect.Delay != nil) || ok && !sameDelay(low, high, c.Expect.Delay) {
			t.Errorf("%s: got %t, %v to %v, want %v", c.Name, ok, low, high, c.Expect.Delay)
		}
	}
}

func TestVectorsResults(t *testing.T) {
	t.Parallel()
	type given struct {
		Commands int
		Body     string
	}
	type expect struct {
		Action            string
		Outcomes, Reasons []string
	}
	_, cases := vectors[struct{}, given, expect](t, "results.json")
	for _, c := range cases {
		d := rules{defaultMaxDelay}.decide(&answer{status: http.StatusOK, body: []byte(c.Given.Body)}, 1, c.Given.Commands, time.Now())
		var outcomes, reasons []string
		for _, r := range d.results {
			outcomes, reasons = append(outcomes, string(r.outcome)), append(reasons, r.reason)
		}
		if c.Expect.Reasons == nil {
			c.Expect.Reasons = slices.Repeat([]string{""}, len(outcomes))
		}
		if string(d.action) != c.Expect.Action || !slices.Equal(outcomes, c.Expect.Outcomes) || !slices.Equal(reasons, c.Expect.Reasons) {
			t.Errorf("%s: got %s %q %q, want %+v", c.Name, d.action, outcomes, reasons, c.Expect)
		}
	}
}

// sizes is a list of sizes, or one size and how often it occurs.
type sizes []int

func (s *sizes) UnmarshalJSON(b []byte) error {
	var many struct{ Each, Times int }
	if json.Unmarshal(b, &many) == nil {
		*s = slices.Repeat([]int{many.Each}, many.Times)
		return nil
	}
	return json.Unmarshal(b, (*[]int)(s))
}

func TestVectorsBatching(t *testing.T) {
	t.Parallel()
	type given struct {
		Sizes     sizes
		Waiting   int
		Oldest    *float64
		Flush     bool
		DataBytes *int `json:"data_bytes"`
		BodyBytes *int `json:"body_bytes"`
	}
	type expect struct {
		Batches          []int
		Due, Taken, Gzip bool
	}
	p, cases := vectors[struct {
		Commands, Bytes int
		GzipFrom        int `json:"gzip_from"`
		DataBytes       int `json:"data_bytes"`
		TypeBytes       int `json:"type_bytes"`
		Interval        float64
	}, given, expect](t, "batching.json")
	if p.Commands != maxCommands || p.Bytes != maxBodyBytes || p.GzipFrom != gzipFrom || p.DataBytes != maxDataBytes ||
		p.TypeBytes != maxTypeBytes || p.Interval != defaultInterval.Seconds() {
		t.Errorf("got other parameters than %+v", p)
	}
	c := &Client{o: Options{BatchSize: p.Commands, Interval: defaultInterval}}
	for _, v := range cases {
		switch g := v.Given; {
		case g.DataBytes != nil:
			if taken := checkSize(*g.DataBytes) == nil; taken != v.Expect.Taken {
				t.Errorf("%s: got taken %t", v.Name, taken)
			}
		case g.BodyBytes != nil:
			if gzip := pays(*g.BodyBytes); gzip != v.Expect.Gzip {
				t.Errorf("%s: got gzip %t", v.Name, gzip)
			}
		case g.Oldest != nil:
			if due := c.due(g.Waiting, asDuration(*g.Oldest), g.Flush); due != v.Expect.Due {
				t.Errorf("%s: got due %t", v.Name, due)
			}
		default:
			if got := batches(t, g.Sizes); !slices.Equal(got, v.Expect.Batches) {
				t.Errorf("%s: got %v, want %v", v.Name, got, v.Expect.Batches)
			}
		}
	}
}

// batches returns the lengths of the batches that a queue makes of commands of
// these sizes, and checks their bodies.
func batches(t *testing.T, sizes []int) (lengths []int) {
	t.Helper()
	var q memory
	for _, n := range sizes {
		if err := q.push(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	for {
		batch, err := q.take(newRoom(maxCommands))
		if err != nil {
			t.Fatal(err)
		}
		if len(batch) == 0 {
			return lengths
		}
		if body := appendBody(nil, batch); len(body) > maxBodyBytes && len(batch) > 1 {
			t.Errorf("a body of %d bytes, at most %d", len(body), maxBodyBytes)
		}
		lengths = append(lengths, len(batch))
	}
}

func TestVectorsIdentifiers(t *testing.T) {
	t.Parallel()
	type given struct{ IDs IDs }
	type expect struct{ Taken bool }
	_, cases := vectors[struct{}, given, expect](t, "identifiers.json")
	for _, c := range cases {
		if _, err := encode("customers", data{IDs: c.Given.IDs}); (err == nil) != c.Expect.Taken {
			t.Errorf("%s: got %v, want taken %t", c.Name, err, c.Expect.Taken)
		}
	}
}

// TestIDsOfGo tests values that only exist in Go.
func TestIDsOfGo(t *testing.T) {
	t.Parallel()
	type name string
	empty, jane := "", "jane"
	for _, c := range []struct {
		value any
		taken bool
	}{
		{[]string{"", "c"}, true},
		{[]string{"", " "}, false},
		{(*string)(nil), false},
		{&empty, false},
		{&jane, true},
		{name(" "), false},
		{name("jane"), true},
		{[]name{"", "c"}, true},
		{[2]byte{1, 2}, true},
		{int32(0), true},
		{json.Number("7"), true},
		{"jane\xff", false},
		{[]any{"c", "jane\xff"}, false},
		{math.NaN(), false},
	} {
		if _, err := encode("customers", data{IDs: IDs{"registered": c.value}}); (err == nil) != c.taken {
			t.Errorf("%#v: got %v, want taken %t", c.value, err, c.taken)
		}
	}
}

func TestVectorsTimestamps(t *testing.T) {
	t.Parallel()
	type given struct{ Clock []int64 }
	type expect struct{ Timestamps []string }
	p, cases := vectors[struct{ Step float64 }, given, expect](t, "timestamps.json")
	if p.Step*1e6 != backStep {
		t.Errorf("got another step than %v", p.Step)
	}
	for _, c := range cases {
		var s stamps
		var got []string
		for _, clock := range c.Given.Clock {
			got = append(got, string(seconds(s.next(clock))))
		}
		if !slices.Equal(got, c.Expect.Timestamps) {
			t.Errorf("%s: got %q, want %q", c.Name, got, c.Expect.Timestamps)
		}
	}
}

func TestVectorsServers(t *testing.T) {
	t.Parallel()
	type known struct {
		URL, Name, Region, State string
		Until                    float64
	}
	type given struct {
		Now           float64
		Current       string
		Want          struct{ Name, Region string }
		Servers       []known
		Asked, Answer string
	}
	type expect struct {
		AnyOf   []string `json:"any_of"`
		Wait    *float64
		Servers []known
	}
	p, cases := vectors[struct{ Base, Refresh float64 }, given, expect](t, "servers.json")
	if p.Base != firstDelay.Seconds() || p.Refresh != askAgain.Seconds() {
		t.Errorf("got other parameters than %+v", p)
	}
	for _, c := range cases {
		if c.Given.Asked != "" {
			var got []known
			for _, s := range readServers([]byte(c.Given.Answer), c.Given.Asked) {
				got = append(got, known{URL: s.URL, Name: s.Name, Region: s.Region, State: s.State})
			}
			if diff := cmp.Diff(got, c.Expect.Servers); diff != "" {
				t.Errorf("%s (-got +want):\n%s", c.Name, diff)
			}
			continue
		}
		var all []*server
		for _, s := range c.Given.Servers {
			all = append(all, &server{URL: s.URL, Name: s.Name, Region: s.Region, State: s.State, until: time.Unix(0, 0).Add(asDuration(s.Until))})
		}
		from, wait := wanted{c.Given.Want.Name, c.Given.Want.Region}.choose(all, c.Given.Current, time.Unix(0, 0).Add(asDuration(c.Given.Now)))
		urls := []string{}
		for _, s := range from {
			urls = append(urls, s.URL)
		}
		if !slices.Equal(urls, c.Expect.AnyOf) || c.Expect.Wait != nil && wait.Seconds() != *c.Expect.Wait {
			t.Errorf("%s: got %q after %v, want %q", c.Name, urls, wait, c.Expect.AnyOf)
		}
	}
}

func TestVectorsPositions(t *testing.T) {
	t.Parallel()
	type given struct {
		Held, Sent, Answer, Error, Body string
		Stored                          bool
		Status                          int
	}
	type expect struct {
		Held, Action, Reason string
		Failover             bool
	}
	p, cases := vectors[struct{ Header string }, given, expect](t, "positions.json")
	if p.Header != place.Header {
		t.Errorf("got other parameters than %+v", p)
	}
	for _, c := range cases {
		var held place.Place
		held.Learn(c.Given.Held)
		a := answer{status: c.Given.Status, body: []byte(c.Given.Body)}
		if c.Given.Error != "" {
			a.err = errors.New(c.Given.Error)
		}
		var d decision
		if c.Expect.Action != "" {
			d = rules{defaultMaxDelay}.decideQuestion(&a, c.Given.Sent, 1, time.Now())
		}
		held.Note(c.Given.Answer, c.Given.Sent, c.Given.Stored, d.action == without)
		if held.Held() != c.Expect.Held || string(d.action) != c.Expect.Action || d.failover != c.Expect.Failover {
			t.Errorf("%s: got %q, %+v, want %+v", c.Name, held.Held(), d, c.Expect)
		}
		if c.Expect.Reason != "" && d.reason != c.Expect.Reason {
			t.Errorf("%s: got the reason %q, want %q", c.Name, d.reason, c.Expect.Reason)
		}
	}
}
