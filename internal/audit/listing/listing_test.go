package listing

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"trackway/internal/audit"
)

func TestAnswer(t *testing.T) {
	t.Parallel()
	log := audit.New(t.TempDir(), slog.New(slog.DiscardHandler))
	for _, actor := range []string{"ada", "joe", "ada"} {
		if err := log.Add(&audit.Entry{Actor: actor, Via: audit.Page, Action: audit.SignIn, Outcome: audit.Allowed}); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]string{
		"":                            "3 2 1",
		"actor=joe":                   "2",
		"action=session":              "3 2 1",
		"action=user,session.sign-in": "3 2 1",
		"action=user":                 "",
		"rows=2":                      "3 2 next 2",
		"rows=2&before=2":             "1",
		"since=2200-01-01":            "",
		"until=1971-01-01":            "",
		"since=1971-01-01":            "3 2 1",
	} {
		body, err := Answer(log, query)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Entries []struct{ N json.Number }
			Next    json.Number
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, e := range got.Entries {
			list = append(list, string(e.N))
		}
		if got.Next != "" {
			list = append(list, "next", string(got.Next))
		}
		if strings.Join(list, " ") != want {
			t.Errorf("%s: got %q, want %q: %s", query, list, want, body)
		}
	}
	for _, wrong := range []string{"rows=0", "rows=1001", "before=0", "before=x", "since=x", "until=1970-01-01", "other=1", "actor=a&actor=b"} {
		if _, err := Answer(log, wrong); err == nil {
			t.Errorf("%s: got no error", wrong)
		}
	}
	if body, err := Answer(nil, ""); err != nil || string(body) != `{"entries":[],"next":null,"unreadable":0}` {
		t.Errorf("got %s, %v", body, err)
	}
}
