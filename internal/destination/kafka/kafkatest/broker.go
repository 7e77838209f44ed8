// Package kafkatest runs a real Kafka broker for tests: one process with little
// memory, on the loopback interface.
package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"trackway/internal/porttest"
	"trackway/internal/prereq"
	"trackway/internal/sleep"
)

// Broker is a running broker. It may be killed and started again.
type Broker struct {
	Proxy *Proxy // the proxy that clients of [Broker.ProxiedURL] pass through

	lib, dir string
	direct   string // address of the listener that clients reach directly
	process  *exec.Cmd
	ended    chan struct{}
}

// setup is the configuration. Its arguments are the folder, and the ports of
// the controller, the direct listener, the other listener, and the proxy in
// front of it.
const setup = `process.roles=broker,controller
node.id=1
log.dirs=%[1]s/data
controller.quorum.voters=1@127.0.0.1:%[2]s
listeners=CONTROLLER://127.0.0.1:%[2]s,DIRECT://127.0.0.1:%[3]s,PROXIED://127.0.0.1:%[4]s
advertised.listeners=DIRECT://127.0.0.1:%[3]s,PROXIED://127.0.0.1:%[5]s
controller.listener.names=CONTROLLER
inter.broker.listener.name=DIRECT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,DIRECT:PLAINTEXT,PROXIED:PLAINTEXT
auto.create.topics.enable=false
num.partitions=3
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.backoff.ms=500
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
`

// Start starts a broker. It ends with the test. The test is skipped if the
// broker is not installed.
func Start(tb testing.TB) *Broker {
	tb.Helper()
	root, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for filepath.Dir(root) != root {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		root = filepath.Dir(root)
	}
	b := &Broker{lib: filepath.Join(root, "tools", "kafka", "lib"), dir: tb.TempDir()}
	if _, err := os.Stat(filepath.Join(b.lib, ".installed")); err != nil {
		prereq.Missing(tb, prereq.Kafka, "run tools/install-kafka")
	}
	var ports [3]string
	for i := range ports {
		port, err := porttest.Free()
		if err != nil {
			tb.Fatal(err)
		}
		ports[i] = strconv.Itoa(port)
	}
	b.direct = "127.0.0.1:" + ports[1]
	b.Proxy = newProxy(tb, "127.0.0.1:"+ports[2])
	_, proxyPort, _ := net.SplitHostPort(b.Proxy.address)
	text := fmt.Sprintf(setup, b.dir, ports[0], ports[1], ports[2], proxyPort)
	if err := os.WriteFile(b.config(), []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	format := b.java(tb.Context(), "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", b.config())
	if out, err := format.CombinedOutput(); err != nil {
		tb.Fatalf("format the broker's disk: %v\n%s", err, out)
	}
	b.Run(tb)
	tb.Cleanup(b.Kill)
	return b
}

func (b *Broker) config() string { return filepath.Join(b.dir, "server.properties") }

func (b *Broker) java(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "java", append([]string{ //nolint:gosec // our own arguments
		"-Xmx256m", "-Xms64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", filepath.Join(b.lib, "*"),
	}, args...)...)
}

// Run starts the broker, which must not be running, and waits until it answers.
func (b *Broker) Run(tb testing.TB) {
	tb.Helper()
	out, err := os.OpenFile(filepath.Join(b.dir, "out.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	b.process = b.java(context.WithoutCancel(tb.Context()), "kafka.Kafka", b.config())
	b.process.Stdout, b.process.Stderr = out, out
	if err := b.process.Start(); err != nil {
		tb.Fatal(err)
	}
	process, ended := b.process, make(chan struct{})
	b.ended = ended
	go func() {
		defer close(ended)
		_ = process.Wait() // it is killed
	}()
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", b.direct)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ended:
			tb.Fatalf("the broker ended: see %s", out.Name())
		default:
		}
		if err := sleep.For(ctx, 100*time.Millisecond); err != nil {
			tb.Fatalf("the broker does not answer: see %s", out.Name())
		}
	}
}

// Kill ends the broker at once, like a power cut of its process. It may be
// called more than once.
func (b *Broker) Kill() {
	_ = b.process.Process.Kill() // it may have ended
	<-b.ended
}

// Save copies the disk of the broker, which must not be running. The function
// that it returns puts the copy in its place.
func (b *Broker) Save(tb testing.TB) (restore func()) {
	tb.Helper()
	data, saved := filepath.Join(b.dir, "data"), filepath.Join(tb.TempDir(), "data")
	if err := os.CopyFS(saved, os.DirFS(data)); err != nil {
		tb.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.RemoveAll(data), os.Rename(saved, data)); err != nil {
			tb.Fatal(err)
		}
	}
}

// Hang has the broker answer nothing for a while, though its connections stay.
func (b *Broker) Hang(tb testing.TB, d time.Duration) {
	tb.Helper()
	if err := b.process.Process.Signal(syscall.SIGSTOP); err != nil {
		tb.Fatal(err)
	}
	_ = sleep.For(tb.Context(), d) // it goes on in any case
	if err := b.process.Process.Signal(syscall.SIGCONT); err != nil {
		tb.Fatal(err)
	}
}

// URL returns the broker's URL for a destination. It leads directly to the
// broker.
func (b *Broker) URL() string { return "kafka://" + b.direct }

// ProxiedURL returns the broker's URL for a destination. It leads through
// [Broker.Proxy].
func (b *Broker) ProxiedURL() string { return "kafka://" + b.Proxy.address }
