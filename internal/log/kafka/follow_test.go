package kafka

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"trackway/internal/entry"
	"trackway/internal/log/raft/peer"
)

// own returns a log that is not open, and a record with an entry of its server.
func own(counter uint64) (*Log, *kgo.Record) {
	l := &Log{machine: new(state), origin: peer.ID{1}}
	return l, &kgo.Record{Value: entry.Append(nil, &entry.Once{Origin: l.origin, Counter: counter, Entry: visit("a")})}
}

// TestPositionOfOwn: when an appender hears that its entry was applied, the
// position of this server includes that entry.
func TestPositionOfOwn(t *testing.T) {
	t.Parallel()
	l, r := own(1)
	l.counter.Store(1)
	came := l.waiting.add(1)
	if err := l.applyRecord(7, kindEntry, r); err != nil {
		t.Fatal(err)
	}
	if len(came) != 1 || l.Position() != 7 {
		t.Errorf("%d heard, at position %d", len(came), l.Position())
	}
}

// TestOwnOfAnother: an entry of this server that this server cannot have sent
// is of another one that is a copy of it, or of its own future, from before its
// disk was set back. Its own entries would be taken for those.
func TestOwnOfAnother(t *testing.T) {
	t.Parallel()
	l, r := own(3 << startBits)
	l.counter.Store(2 << startBits)
	if err := l.applyRecord(7, kindEntry, r); err == nil || !strings.Contains(err.Error(), "copy") {
		t.Errorf("got %v", err)
	}
}
