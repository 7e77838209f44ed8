package member

import (
	"errors"
	"testing"

	files "trackway/internal/destination/kept"
	"trackway/internal/log/raft"
)

// TestBeginWith: if it is not known whether a log has begun with the data of
// another one, its destinations wait for a decision, in case it has.
func TestBeginWith(t *testing.T) {
	t.Parallel()
	for why, want := range map[error]bool{nil: true, raft.ErrUnknown: true, raft.ErrMember: false} {
		dir := t.TempDir()
		for range 2 { // which changes nothing
			if err := beginWith(dir, func() error { return why }); !errors.Is(err, why) {
				t.Errorf("got %v, want %v", err, why)
			}
		}
		if got := files.Entrusted(dir); got != want {
			t.Errorf("%v: got %v, want %v", why, got, want)
		}
	}
}
