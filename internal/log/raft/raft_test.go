package raft

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/entry"
	"trackway/internal/log/logtest"
	"trackway/internal/log/raft/peer"
	"trackway/internal/store/digest"
)

// alone is a machine of a test as the only one of its log. It counts entries
// without gaps, as the test expects.
type alone struct {
	*logtest.Machine

	mu      sync.Mutex
	applied uint64
}

// Apply implements [Machine].
func (m *alone) Apply(index uint64, e entry.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	once, ok := e.(*entry.Once)
	if !ok {
		return errors.New("it may take effect twice")
	}
	err := m.Machine.Apply(m.Machine.Applied()+1, once.Entry)
	if err == nil {
		m.applied = index
	}
	return err
}

// Applied implements [Machine].
func (m *alone) Applied() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.applied
}

// A machine that is alone sends its state to no other one.

func (*alone) Checkpoint(string) error      { return errors.New("not expected") }
func (*alone) Check(string) (uint64, error) { return 0, errors.New("not expected") }
func (*alone) CheckFile(string) error       { return errors.New("not expected") }
func (*alone) Replace(string) error         { return errors.New("not expected") }
func (*alone) Keyed() bool                  { return false }
func (*alone) Digests() []digest.Digest     { return nil }
func (*alone) Adopt(uint64, []byte)         {}

// blocking is a log that is never in a hurry.
type blocking struct{ *Log }

func (b blocking) Append(e entry.Entry) error { return b.Log.Append(context.Background(), e) }
func (b blocking) Close()                     { _ = b.Log.Close() }

// listen returns the network of a server, and where it is.
func listen(t *testing.T, o peer.Options) *peer.Network {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Advertise = l.Addr().String()
	network, err := peer.New(l, o)
	if err != nil {
		t.Fatal(err)
	}
	return network
}

// TestLog runs what every log promises.
func TestLog(t *testing.T) {
	t.Parallel()
	logtest.Run(t, logtest.Features{Shared: true, NotCommitted: errors.New("not committed")}, func(m *logtest.Machine) logtest.Log {
		fs := vfs.NewCrashableMem()
		before, crashed := m.Home.(*vfs.MemFS)
		if crashed {
			fs = before.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0, RNG: rand.New(rand.NewPCG(1, 1))})
		}
		m.Home = fs
		network := listen(t, peer.Options{})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- network.Run(ctx) }()
		l, err := Open(&alone{Machine: m}, Options{FS: fs, Dir: "raft", Network: network, Heartbeat: 100 * time.Millisecond, patience: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if !crashed {
			if err := l.Bootstrap(); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		return blocking{l}
	})
}

// logging has the servers of tests log.
var logging = flag.Bool("raft.log", false, "have servers log everything, to find a fault")

// debugLog returns where the servers log, or nil.
func debugLog() *slog.Logger {
	if !*logging {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
