package postgrestest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"trackway/internal/porttest"
	"trackway/internal/prereq"
)

// Pooler starts PgBouncer in front of the server, in transaction mode, for the
// owner of a database, and returns its port. It ends with the test. If
// PgBouncer is not installed, it skips the test.
func (d *Database) Pooler(tb testing.TB) (port int) {
	tb.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		prereq.Missing(tb, prereq.Postgres, err.Error())
	}
	if port, err = porttest.Free(); err != nil {
		tb.Fatal(err)
	}
	s := d.server
	// Several tests may start one before the same server.
	dir := filepath.Join(s.dir, fmt.Sprint("pooler-", port))
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // another user reads it
		tb.Fatal(err)
	}
	quoted := func(text string) string { return `"` + strings.ReplaceAll(text, `"`, `""`) + `"` }
	config := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = plain
auth_file = %s
pool_mode = transaction
default_pool_size = 2
`, s.Port, port, filepath.Join(dir, "users"))
	for name, text := range map[string]string{"users": quoted(d.Role) + " " + quoted(d.Password) + "\n", "pooler.ini": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // another user reads it
			tb.Fatal(err)
		}
	}
	cmd := exec.CommandContext(context.Background(), program, "-q", filepath.Join(dir, "pooler.ini")) //nolint:gosec // a program of the test
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: s.as}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 1200 {
		conn, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = conn.Close()
			return port
		}
		<-time.After(50 * time.Millisecond)
	}
	tb.Fatal("PgBouncer does not start")
	return 0
}
