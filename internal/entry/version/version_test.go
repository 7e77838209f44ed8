package version_test

import (
	"testing"

	"trackway/internal/entry"
	"trackway/internal/entry/version"
)

// TestOf: what an entry has says which programs can read it.
func TestOf(t *testing.T) {
	t.Parallel()
	commands := func(carries, keyed bool) *entry.Commands {
		return &entry.Commands{Carries: carries, Requests: []entry.Request{{}, {Contents: make([]entry.Content, 1), Keyed: keyed}}}
	}
	for name, test := range map[string]struct {
		e    entry.Entry
		want uint64
	}{
		"a key": {&entry.HashKey{}, version.Keys}, "anything else": {&entry.Register{}, 0},
		"commands": {commands(false, true), 0}, "contents": {commands(true, false), version.Contents}, "hashes under a key": {commands(true, true), version.Keys},
	} {
		for _, e := range []entry.Entry{test.e, &entry.Once{Entry: test.e}} {
			if got := version.Of(e); got != test.want {
				t.Errorf("%s: got version %d, want %d", name, got, test.want)
			}
		}
	}
}
