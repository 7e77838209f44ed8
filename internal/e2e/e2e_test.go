// Package e2e tests the whole program. It builds the real binary, starts it as
// users do, and talks to it over HTTP, signals, files and the command line.
// Tests of a single package are in that package; the tests here cover what only
// the whole program can break.
package e2e

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trackway/internal/prereq"
)

// root is the module's root, relative to this package.
const root = "../.."

// binDir is the directory of the binary during the tests.
var binDir string

func TestMain(m *testing.M) {
	if target := os.Getenv(attackVariable); target != "" { //nolint:forbidigo // this process was started by a test
		attack(target)
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "trackway-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binDir = dir
	flag.Parse()
	if testing.Short() { // as package scale does
		*attackTime, *crowdLasts, *roundsFlag = 2*time.Second, 4*time.Second, 2
	}
	status := m.Run()
	web.CloseIdleConnections()
	if contract.departed() {
		return 1
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// binary builds trackway, once, and returns its path.
func binary(tb testing.TB) string {
	tb.Helper()
	name, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	return name
}

var build = sync.OnceValues(func() (string, error) {
	// The go tool reuses a test result as long as the files that the test
	// opened are the same. It does not see the files that a child process
	// opens. So this reads the directories of all sources: if a source changes,
	// the tests run again.
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() && name != root && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the sources: %w", err)
	}
	name := filepath.Join(binDir, "trackway")
	// The tag is that of internal/api/body: a text that refers to the body of a
	// call that was answered is found overwritten.
	cmd := exec.Command("go", "build", "-buildvcs=false", "-tags=overwrite", "-o", name, "./cmd/trackway")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build trackway: %w\n%s", err, out)
	}
	return name, nil
})

// shared reads a file that the project shares with other implementations. If
// the file is missing, the test is skipped.
func shared(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "..", "shared", filepath.FromSlash(name)))
	if os.IsNotExist(err) {
		prereq.Missing(t, prereq.Shared, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}
