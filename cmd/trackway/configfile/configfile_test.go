package configfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestUsual(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there, absent := filepath.Join(dir, "there.yaml"), filepath.Join(dir, "absent.yaml")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		creates                bool
		local, installed, want string
	}{
		{false, there, there + "2", there},
		{false, absent, there, there},
		{false, absent, absent + "2", absent},
		{true, absent, there, absent},
	} {
		if got := usual(c.creates, c.local, c.installed); got != c.want {
			t.Errorf("%v: got %s", c, got)
		}
	}
}
