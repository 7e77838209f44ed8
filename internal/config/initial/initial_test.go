package initial

import (
	"regexp"
	"testing"
)

func TestNewUUID(t *testing.T) {
	t.Parallel()
	v4 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	a, b := NewUUID(), NewUUID()
	if !v4.MatchString(a) || a == b {
		t.Errorf("got %s and %s, want two UUIDs of version 4", a, b)
	}
}
