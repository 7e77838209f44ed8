package config

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Calls without a key are off unless the project says so. The id of a stream is
// a part of URLs, and names one project only.
func TestKeylessCalls(t *testing.T) {
	t.Parallel()
	if p := mustParse(t, minimal, Flags{}).Projects[0]; p.StreamID != "" || p.Legacy {
		t.Errorf("by default: got %q and %v", p.StreamID, p.Legacy)
	}
	const src = `projects:
  - {name: demo, token: 12345678-1234-1234-1234-123456789abc, stream_id: s-1, legacy: true}
  - {name: other, token: 22345678-1234-1234-1234-123456789abc}
`
	cfg := mustParse(t, src, Flags{})
	if p := cfg.Projects[0]; p.StreamID != "s-1" || !p.Legacy {
		t.Errorf("got %q and %v", p.StreamID, p.Legacy)
	}
	_, err := Parse("t.yaml", []byte(src+`  - {name: a, token: 32345678-1234-1234-1234-123456789abc, stream_id: s-1}
  - {name: b, token: 42345678-1234-1234-1234-123456789abc, stream_id: 22345678-1234-1234-1234-123456789abc}
  - {name: c, token: 52345678-1234-1234-1234-123456789abc, stream_id: a/b}
`), Flags{}, env)
	want := `t.yaml:4:71: projects[2].stream_id "s-1": is projects[0].stream_id (line 2) already
t.yaml:5:71: projects[3].stream_id "22345678-1234-1234-1234-123456789abc": is projects[1].token (line 3) already
t.yaml:6:71: projects[4].stream_id "a/b": must not have spaces or any of / ? & # %, because it is a part of URLs`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}
