package wire

import (
	"fmt"
	"strings"
	"testing"
)

// TestCollectedIsBounded: a small body that unfolds into a great many parts is refused, and not by what it would take in memory.
func TestCollectedIsBounded(t *testing.T) {
	t.Parallel()
	ids := func(n int) string {
		return `{"customer_ids":{"cookie":[1` + strings.Repeat(",1", n-1) + `]},"event_type":"e"}`
	}
	names := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"%d":1`, i)
		}
		return `{"event_type":"e","properties":{` + b.String()[1:] + `}}`
	}
	for _, c := range []struct{ body, want string }{
		{ids(maxIDs), ""},
		{ids(maxIDs + 1), "Field 'customer_ids': at most 1024 ids."},
		{names(maxMembers), ""},
		{names(maxMembers + 1), "Field 'properties': at most 4096 members."},
		{strings.Replace(names(maxMembers+1), "4096", "\x01", 1), "Invalid JSON"}, // what is not kept is still read strictly
	} {
		_, err := DecodeCommand(Events, []byte(c.body), 0)
		got := ""
		if err != nil {
			got = err.Msg
		}
		if got != c.want {
			t.Errorf("%.60s…: got %q, want %q", c.body, got, c.want)
		}
	}
}
