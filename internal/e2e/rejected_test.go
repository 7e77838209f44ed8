package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shown is what the live page shows of a refused command.
type shown struct {
	Project, Command, Type, IDs, Error any
}

// dialectCalls are calls of clients of other products, each with a good command
// and a bad one of jane's.
var dialectCalls = []struct {
	name, path, auth, body string

	good string // the event that is stored
	bad  shown  // what the live page shows
}{
	{
		"Segment", "/v1/batch", "public user",
		`{"batch":[{"type":"track","userId":"jane","event":"good"},{"type":"track","userId":"jane","properties":{"total":7.99}}]}`,
		"good",
		shown{Command: "track", Error: "Field 'event' is required."},
	},
	{
		"Segment, a message alone", "/v1/page", "public user", `{"userId":"jane","timestamp":"yesterday"}`,
		"",
		shown{Command: "page", Type: "page_visit", Error: "Field 'timestamp': expected a number of seconds since 1970 or a date and time such as 2018-08-05T12:20:25.5Z."},
	},
	{
		"PostHog", "/batch/", "",
		`{"api_key":"` + publicKey + `","batch":[{"event":"$merge_dangerously","distinct_id":"jane","properties":{"alias":"joe"}},{"event":"good","distinct_id":"jane"}]}`,
		"good",
		shown{
			Command: "$merge_dangerously", Type: "$merge_dangerously",
			Error: "Field 'event': expected $create_alias to connect two ids: a merge of two users cannot be undone, and is refused.",
		},
	},
	{
		"OpenTelemetry", "/v1/logs", "public",
		`{"resourceLogs":[{"resource":{"attributes":[{"key":"user.id","value":{"stringValue":"jane"}}]},"scopeLogs":[{"logRecords":[{"body":{"stringValue":"a line"}},{"eventName":"good"}]}]}]}`,
		"good",
		shown{Command: "log record", Error: "Field 'event_name' is required."},
	},
	{
		"stream mode", "/track/u/v1/batch?stream_id=" + streamID, "none",
		`{"commands":[{"name":"customers/events","data":{"customer_ids":{"registered":"jane"},"event_type":"good"}},` +
			`{"name":"customers/events","data":{"customer_ids":{"registered":"jane"},"event_type":"bad","timestamp":"yesterday"}}]}`,
		"good",
		shown{Command: "customers/events", Type: "bad", Error: "Field 'timestamp': expected a number of seconds since 1970 or a date and time such as 2018-08-05T12:20:25.5Z."},
	},
	{
		"an old client", "/bulk", "none",
		`{"commands":[{"name":"crm/events","data":{"customer_ids":{"registered":"jane"},"project_id":"` + projectToken + `","type":"good"}},` +
			`{"name":"crm/events","data":{"customer_ids":{"registered":"jane"},"project_id":"` + projectToken + `"}}]}`,
		"good",
		shown{Command: "crm/events", Error: "Field 'event_type' is required."},
	},
}

// TestRejectedOfDialects: the live page shows a bad command of a client of
// another product, with the reason. The good command beside it is stored and
// not among the refused ones.
func TestRejectedOfDialects(t *testing.T) {
	t.Parallel()
	s := start(t, keyless.Replace(gridConfig(pagesPassword, wideLimits)))
	cookie := s.signIn(t, pagesPassword)
	stream := s.watch(t, cookie, "rejected=1&project="+projectToken, "")
	for _, c := range dialectCalls {
		r := request{path: c.path, auth: c.auth, body: []byte(c.body)}
		if c.auth == "public user" {
			r.auth, r.header = "none", map[string]string{"Authorization": basic("Basic", publicKey, "")}
		}
		res := s.do(t, r)
		s.track(t, "customers/events", map[string]any{"customer_ids": map[string]any{"registered": "joe"}, "event_type": "end of " + c.name})
		var stored []any
		var refused []shown
		for {
			m := next(t, stream)
			if m.event == "rejected" {
				d := m.data
				refused = append(refused, shown{d["project"], d["command"], d["type"], d["ids"], d["error"]})
			} else if stored = append(stored, m.data["type"]); m.data["type"] == "end of "+c.name {
				break
			}
		}
		c.bad.Project, c.bad.IDs = projectToken, map[string]any{"registered": "jane"}
		if diff := cmp.Diff([]shown{c.bad}, refused); diff != "" {
			t.Errorf("%s: the live page shows (-want +got):\n%s\nand the answer is %v", c.name, diff, res)
		}
		want := []any{c.good, "end of " + c.name}
		if c.good == "" {
			want = want[1:]
		}
		if diff := cmp.Diff(want, stored); diff != "" {
			t.Errorf("%s: stored (-want +got):\n%s", c.name, diff)
		}
	}
}
