package destination

import (
	"errors"
	"testing"

	"trackway/internal/config"
)

// TestUserIsNoSecret: errors hide passwords. They do not hide the name of a
// user without a password, because the name may be an ordinary word in the
// message.
func TestUserIsNoSecret(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://trackway@db/x":           "try: trackway destinations rewind",
		"postgres://trackway:rewind@db/x":    "try: trackway destinations …",
		"postgres://trackway:try%3A@db/x":    "… trackway destinations rewind",
		"postgres://to:destinations@rewind/": "try: trackway … rewind",
	} {
		r := runner{config: config.Destination{URL: url}}
		if got := r.clean(errors.New("try: trackway destinations rewind")); got != want {
			t.Errorf("%s: got %q, want %q", url, got, want)
		}
	}
}
