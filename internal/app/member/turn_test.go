package member

import (
	"strings"
	"testing"
	"time"

	"trackway/internal/control/members"
	"trackway/internal/partition/placement"
)

// TestTurn: one server at a time carries out a step. One that is lost does not
// keep the turn.
func TestTurn(t *testing.T) {
	t.Parallel()
	var of turn
	now := time.Now()
	for i, step := range []struct {
		server  string
		after   time.Duration
		refused bool
	}{
		{"a:1", 0, false},
		{"b:1", time.Second, true},
		{"a:1", 10 * time.Second, false},
		{"b:1", 20 * time.Second, true},
		{"b:1", 26 * time.Second, false},
		{"a:1", 27 * time.Second, true},
	} {
		err := of.take(step.server, now.Add(step.after))
		if (err != nil) != step.refused || err != nil && !strings.HasPrefix(err.Error(), members.Busy+", at ") {
			t.Errorf("step %d: got %v", i, err)
		}
	}
	of.end("a:1") // it has none
	if err := of.take("a:1", now.Add(28*time.Second)); err == nil {
		t.Error("a server has ended the turn of another one")
	}
	of.end("b:1")
	if err := of.take("a:1", now.Add(28*time.Second)); err != nil {
		t.Error(err)
	}
}

// TestStepTwice: a server carries out one step at a time.
func TestStepTwice(t *testing.T) {
	t.Parallel()
	m := new(Member)
	m.stepping.Lock()
	if err := m.Step(t.Context(), placement.Step{Do: placement.Remove, Part: 1, Server: "a:1"}); err == nil || !strings.HasPrefix(err.Error(), members.Busy) {
		t.Errorf("got %v", err)
	}
}
