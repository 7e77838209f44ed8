package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// identityCase is an element of shared/conformance/identity.json.
type identityCase struct {
	Case     string
	Commands []command
	Repeat   *struct {
		From, To int
		Command  json.RawMessage // {i} is replaced by the number of the repetition
	}
	Customers []wantedCustomer
}

type command struct {
	Name string          `json:"name"`
	Data json.RawMessage `json:"data"`
}

// wantedCustomer is what a case expects of one customer. Missing fields are not
// compared.
type wantedCustomer struct {
	By          map[string]any
	SameAs      map[string]any `json:"same_as"`
	Missing     bool
	IDs         map[string]any
	Properties  map[string]any
	EventTypes  []string `json:"event_types"`
	CookieCount int      `json:"cookie_count"`
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	var cases []identityCase
	if err := json.Unmarshal(shared(t, "conformance/identity.json"), &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("there are no cases")
	}
	for _, c := range cases {
		commands := c.expand(t)
		t.Run(c.Case+", by single calls", func(t *testing.T) {
			t.Parallel()
			s := start(t, baseConfig+wideLimits)
			for _, command := range commands {
				s.track(t, command.Name, command.Data)
			}
			s.checkCustomers(t, c.Customers)
		})
		t.Run(c.Case+", by batches", func(t *testing.T) {
			t.Parallel()
			s := start(t, baseConfig+wideLimits)
			for batch := range slices.Chunk(commands, 50) {
				s.batch(t, batch)
			}
			s.checkCustomers(t, c.Customers)
		})
	}
}

// TestSentAgainAfterMerges: an event is stored once, however many customers its
// own customer has absorbed since. First, each visit is merged into the same
// person. Then the visits' events come again, as from a phone that was offline.
func TestSentAgainAfterMerges(t *testing.T) {
	t.Parallel()
	const visits, again = 100, 60 // a person keeps 64 cookies: an event with an older one is a stranger's
	s := start(t, baseConfig+wideLimits)
	visit := func(i int) []command {
		cookie := fmt.Sprintf("visit-%d", i)
		event := func(ids map[string]any) command {
			return command{"customers/events", encode(t, map[string]any{"customer_ids": ids, "event_type": "e", "timestamp": 1000 + i, "properties": ids})}
		}
		return []command{event(map[string]any{"cookie": cookie}), event(map[string]any{"cookie": cookie, "registered": "person"})}
	}
	var commands []command
	for i := range visits {
		commands = append(commands, visit(i)...)
	}
	for i := visits - again; i < visits; i++ {
		commands = append(commands, visit(i)...)
	}
	for batch := range slices.Chunk(commands, 50) {
		s.batch(t, batch)
	}
	stored := 0
	for _, e := range s.exportOne(t, map[string]any{"registered": "person"}).Events {
		if e.Type == "e" {
			stored++
		}
	}
	if stored != 2*visits {
		t.Errorf("%d events are stored, want %d", stored, 2*visits)
	}
}

// expand returns the case's commands, with repetitions written out.
func (c identityCase) expand(t *testing.T) []command {
	t.Helper()
	commands := c.Commands
	if c.Repeat == nil {
		return commands
	}
	for i := c.Repeat.From; i <= c.Repeat.To; i++ {
		var one command
		if err := json.Unmarshal(bytes.ReplaceAll(c.Repeat.Command, []byte("{i}"), []byte(strconv.Itoa(i))), &one); err != nil {
			t.Fatal(err)
		}
		commands = append(commands, one)
	}
	return commands
}

// batch sends commands in one request. Each must succeed.
func (s *server) batch(t *testing.T, commands []command) {
	t.Helper()
	res := s.do(t, request{path: "/track/v2/projects/{token}/batch", body: encode(t, map[string]any{"commands": commands})})
	if !batchSuccess(res, len(commands)) {
		t.Errorf("batch: got %v, want %d times success", res, len(commands))
	}
}

// batchSuccess reports whether all n commands succeeded according to the
// answer.
func batchSuccess(res response, n int) bool {
	var answer struct{ Results []struct{ Success bool } }
	if !res.success() || json.Unmarshal(res.body, &answer) != nil || len(answer.Results) != n {
		return false
	}
	for _, r := range answer.Results {
		if !r.Success {
			return false
		}
	}
	return true
}

func (s *server) checkCustomers(t *testing.T, wanted []wantedCustomer) {
	t.Helper()
	for _, want := range wanted {
		got := s.exportOne(t, want.By)
		switch {
		case want.Missing:
			if got != nil {
				t.Errorf("%v: got %+v, want no customer", want.By, got)
			}
		case got == nil:
			t.Errorf("%v: got no customer", want.By)
		default:
			s.checkCustomer(t, want, got)
		}
	}
}

func (s *server) checkCustomer(t *testing.T, want wantedCustomer, got *customer) {
	t.Helper()
	compare := func(what string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	if want.SameAs != nil {
		compare("the same customer", s.exportOne(t, want.SameAs), got)
	}
	if want.IDs != nil {
		compare("ids", want.IDs, got.IDs)
	}
	if want.Properties != nil {
		compare("properties", want.Properties, got.Properties)
	}
	if want.EventTypes != nil {
		types := []string{}
		for _, e := range got.Events {
			types = append(types, e.Type)
		}
		slices.Sort(types)
		compare("event types", want.EventTypes, types)
	}
	if want.CookieCount != 0 {
		cookies, _ := got.IDs["cookie"].([]any)
		compare("number of cookies", want.CookieCount, len(cookies))
	}
}
