package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"trackway/internal/destination/listing"
)

func TestDestinations(t *testing.T) {
	t.Parallel()
	e, _ := well(t)
	e.Destinations = &Destinations{
		List: func(context.Context) ([]listing.Row, error) {
			return []listing.Row{
				{Name: "archive", Kind: "file", State: "running", LagSeconds: 2},
				{Name: "broken", Kind: "postgres", State: "stopped", Error: "the table is not ours"},
				{Name: "dead", Kind: "postgres", State: "retrying", LagSeconds: 7200},
				{Name: "expiring", Kind: "postgres", State: "behind", LagSeconds: 7200, LetsGo: true, Missed: 3},
				{Name: "late", Kind: "postgres", State: "behind", LagSeconds: 7200},
				{Name: "mute", Kind: "kafka", State: "running"},
				{Name: "quiet", Kind: "postgres", State: "paused", LagSeconds: 60},
			}, nil
		},
		Check: func(_ context.Context, name string) (string, error) {
			switch name {
			case "dead":
				return "connection refused", nil
			case "mute":
				return "", errors.New("no answer")
			case "broken", "quiet":
				t.Errorf("%s is checked", name)
			}
			return "", nil
		},
	}
	var got []string
	for _, f := range Examine(t.Context(), e) {
		if f.Check == "destination" {
			got = append(got, strings.Join([]string{string(f.Level), f.Found, f.Advice}, " | "))
		}
	}
	want := []string{
		"ok | archive (file) works, 2s behind | ",
		"fail | broken has stopped: the table is not ours | do what it says, then: trackway destinations resume broken",
		"fail | dead (postgres) fails, 2h0m0s behind: connection refused | do what it says, then: trackway destinations check dead; nothing is lost, and the server tries again by itself",
		"warn | expiring is 2h0m0s behind: events expire before it has them, 3 so far | find out why it is so far behind, or set a longer hold",
		"warn | late is 2h0m0s behind | see trackway destinations list: its rate should be higher than that of new events",
		"fail | mute was not checked: no answer | see trackway destinations list, and the server's log",
		"warn | quiet is paused, 1m0s behind | when it may go on: trackway destinations resume quiet, or remove paused from the configuration and reload",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	e.Destinations.List = func(context.Context) ([]listing.Row, error) {
		return []listing.Row{{Name: "archive/p00", Kind: "file", State: "running"}}, errors.New("partition p01: no server leads")
	}
	got = nil
	for _, f := range Examine(t.Context(), e) {
		if f.Check == "destination" {
			got = append(got, string(f.Level)+" "+f.Found)
		}
	}
	if want := []string{"fail not all destinations are known: partition p01: no server leads", "ok archive/p00 (file) works, 0s behind"}; !slices.Equal(got, want) {
		t.Errorf("a partition does not answer: got %q, want %q", got, want)
	}
	e.Destinations.List = func(context.Context) ([]listing.Row, error) { return nil, errors.New("permission denied") }
	findings := Examine(t.Context(), e)
	if i := slices.IndexFunc(findings, func(f Finding) bool { return f.Check == "destination" }); i < 0 || findings[i].Level != Fail {
		t.Errorf("got %+v, want a failure", findings)
	}
	e.LocalURL = "http://127.0.0.1:1"
	if slices.ContainsFunc(Examine(t.Context(), e), func(f Finding) bool { return f.Check == "destination" }) {
		t.Error("destinations of a server that is not running are checked")
	}
}
