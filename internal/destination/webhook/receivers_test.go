package webhook

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"trackway/internal/porttest"
	"trackway/internal/prereq"
)

// The receivers of docs/destinations-webhook.md accept our messages, and refuse
// those with another secret. The Python receiver verifies them with the library
// of Standard Webhooks.
func TestReceiversOfTheDocs(t *testing.T) {
	t.Parallel()
	t.Run("python", func(t *testing.T) {
		t.Parallel()
		testReceiver(t, exec.CommandContext(t.Context(), python(t), save(t, "receiver.py", example(t, "python"))), "-101 event.stored")
	})
	t.Run("go", func(t *testing.T) {
		t.Parallel()
		source := save(t, "main.go", example(t, "go"))
		program := filepath.Join(t.TempDir(), "receiver")
		build := exec.CommandContext(t.Context(), "go", "build", "-o", program, source)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		testReceiver(t, exec.CommandContext(t.Context(), program), `-101 {"type":"event.stored"`)
	})
}

// testReceiver runs a receiver at a free port, and compares the first line that
// it prints.
func testReceiver(t *testing.T, receiver *exec.Cmd, want string) {
	t.Helper()
	port, err := porttest.Free()
	if err != nil {
		t.Fatal(err)
	}
	receiver.Args = append(receiver.Args, strconv.Itoa(port))
	receiver.Env = append(os.Environ(), "HOOK_SECRET="+secret)
	receiver.Stderr = os.Stderr
	out, err := receiver.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = receiver.Process.Kill(), receiver.Wait() })

	url := "http://127.0.0.1:" + strconv.Itoa(port)
	s := open(t, url, secret)
	for _, err := s.Prepare(t.Context()); err != nil; _, err = s.Prepare(t.Context()) { // until it listens
		if t.Context().Err() != nil || receiver.ProcessState != nil {
			t.Fatal(err)
		}
	}
	if err := open(t, url, "whsec_AAAA").Check(t.Context()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("another secret: got %v", err)
	}
	if rejects, err := open(t, url, "whsec_AAAA "+secret).Write(t.Context(), batch(1, 1)); err != nil || len(rejects) > 0 {
		t.Errorf("a new and the old secret: got %v, %v", rejects, err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, store+want) {
		t.Errorf("the receiver prints %q, %v, want %s%s", line, err, store, want)
	}
}

// example returns the only code block in a language in the docs.
func example(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/destinations-webhook.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n```"+language+"\n")
	code, _, ok := strings.Cut(rest, "\n```\n")
	if !ok {
		t.Fatalf("the docs have no example in %s", language)
	}
	return code + "\n"
}

func save(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// python returns a Python that has the library of Standard Webhooks:
// tools/install-partners installs it.
func python(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("testdata/.venv/bin/python3")
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.CommandContext(t.Context(), path, "-c", "import standardwebhooks").Run(); err != nil {
		prereq.Missing(t, prereq.StandardWebhooks, path+": "+err.Error())
	}
	return path
}
