package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"trackway/internal/porttest"
	"trackway/internal/prereq"
)

// howtos is the directory of the guides.
const howtos = root + "/docs/howto"

// block is a fenced block of a guide.
type block struct {
	language string
	text     string
	skip     bool // a comment in the guide says why the tests do not run it
	line     int
}

// notRun begins the comment above a block that the tests do not run.
const notRun = "<!-- not run in tests:"

// blocks returns the fenced blocks of a guide.
func blocks(t *testing.T, name string) []block {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(howtos, name))
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	var open *block
	skip := false
	for i, row := range strings.Split(string(page), "\n") {
		language, fence := strings.CutPrefix(row, "```")
		switch {
		case fence && open == nil:
			open = &block{language: language, skip: skip, line: i + 2}
		case fence:
			all, open, skip = append(all, *open), nil, false
		case open != nil:
			open.text += row + "\n"
		case strings.HasPrefix(row, notRun):
			skip = true
		}
	}
	return all
}

// file returns the block of a guide that begins with a comment which names a
// file.
func file(t *testing.T, all []block, name string) string {
	t.Helper()
	for _, b := range all {
		if first, rest, _ := strings.Cut(b.text, "\n"); first == "# "+name || first == "// "+name {
			return rest
		}
	}
	t.Fatalf("the guide has no block that begins with %q", "# "+name)
	return ""
}

// TestHowto runs the commands of the guides, as a reader would: the blocks of
// language sh, one after the other, in one shell and in an empty folder. A
// block of language text behind one is what it prints, where … stands for
// anything. Only the ports differ, and how long it waits.
func TestHowto(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"back-up-and-restore.md", "find-a-missing-event.md", "from-opentelemetry.md", "from-posthog.md", "from-segment.md",
		"import-from-another-vendor.md", "move-from-bloomreach-or-segment.md", "../admin.md",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			follow(t, blocks(t, name))
		})
	}
}

// TestHowtoPython runs the program of the guide with the client that it names.
func TestHowtoPython(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig)
	s.log.private("jane@example.com")
	program := file(t, blocks(t, "move-from-bloomreach-or-segment.md"), "client.py")
	name := filepath.Join(t.TempDir(), "client.py")
	if err := os.WriteFile(name, []byte(strings.ReplaceAll(program, "http://127.0.0.1:8080", "http://"+s.public)), 0o600); err != nil {
		t.Fatal(err)
	}
	runClient(t, []string{"python3", "-c", `import os, runpy, sys
os.environ.update(TOKEN=sys.argv[1], ID=sys.argv[2], SECRET=sys.argv[3])
runpy.run_path(sys.argv[4])`, projectToken, privateID, secretKey}, name)
	if c := s.exportOne(t, map[string]any{"registered": "jane@example.com"}); c == nil || len(c.Events) != 1 || c.Events[0].Type != "purchase" {
		t.Errorf("got %+v, want a customer with a purchase", c)
	}
}

// TestHowtoLimit runs the command of the guide.
func TestHowtoLimit(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		prereq.Missing(t, prereq.Curl, err.Error())
	}
	page, err := os.ReadFile(filepath.Join(howtos, "choose-a-limit.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, baseConfig)
	command := regexp.MustCompile(`(?m)^ *(curl .*)$`).FindSubmatch(page)
	if command == nil {
		t.Fatal("the guide has no command")
	}
	line := strings.NewReplacer("ID:SECRET", privateID+":"+secretKey, "https://HOST", "http://"+s.public).Replace(string(command[1]))
	out, err := exec.Command("sh", "-c", line).Output()
	if err != nil || !bytes.Contains(out, []byte(`"recording":true`)) {
		t.Errorf("%s: got %s, %v", line, out, err)
	}
}

// TestHowtoSecrets starts servers with the configurations of the guide, the
// file and the environment.
func TestHowtoSecrets(t *testing.T) {
	t.Parallel()
	all := blocks(t, "keep-secrets-out-of-the-configuration.md")
	compose := regexp.MustCompile(`(?s)TRACKWAY_PROJECTS: \|\n(.*?)\nsecrets:`)
	var projects string
	for _, b := range all {
		if found := compose.FindStringSubmatch(b.text); found != nil {
			projects = found[1]
		}
	}
	if projects == "" {
		t.Fatal("the guide has no TRACKWAY_PROJECTS")
	}
	for name, begin := range map[string]func(dir string) *server{
		"file": func(dir string) *server {
			return startIn(t, dir, strings.ReplaceAll(file(t, all, "trackway.yaml"), "/run/secrets", dir))
		},
		"environment": func(dir string) *server {
			s := launchUnder(t, "export TRACKWAY_DASHBOARD_PASSWORD_FILE="+dir+"/dashboard TRACKWAY_PROJECTS='"+
				strings.ReplaceAll(projects, "/run/secrets", dir)+"'", dir)
			s.awaitReady(t)
			return s
		},
	} {
		dir := t.TempDir()
		for _, secret := range []string{"dashboard", "backend"} {
			if err := os.WriteFile(filepath.Join(dir, secret), []byte("secret-of-"+secret+"-8f1c\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := begin(dir)
		s.log.private("secret-of-backend-8f1c", "secret-of-dashboard-8f1c")
		for secret, want := range map[string]int{"secret-of-backend-8f1c": 200, "another": 403} {
			res := s.do(t, request{path: "/api/projects/" + projectToken + "/stats", auth: "none", header: map[string]string{"Authorization": basic("Basic", "backend", secret)}})
			if res.status != want {
				t.Errorf("%s: got %v, want %d", name, res, want)
			}
		}
	}
}

// TestSDKsOfPostHogInTheGuide runs the program of the guide with the SDK that
// it names.
func TestSDKsOfPostHogInTheGuide(t *testing.T) {
	t.Parallel()
	postHogClient(t, ".venv/.installed")
	s := start(t, baseConfig)
	s.log.private("joe@example.com")
	program := file(t, blocks(t, "from-posthog.md"), "client.py")
	python := exec.CommandContext(t.Context(), filepath.Join(".venv", "bin", "python"), "-c", strings.ReplaceAll(program, "http://127.0.0.1:8080", "http://"+s.public))
	python.Dir = postHogDir
	python.Env = append(os.Environ(), "PUBLIC="+publicKey)
	if out, err := python.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if c := s.exportOne(t, map[string]any{"registered": "joe@example.com"}); c == nil || len(c.Events) != 1 || c.Events[0].Type != "Order Completed" {
		t.Errorf("got %+v, want a customer with an order", c)
	}
}

// follow runs the blocks of a guide.
func follow(t *testing.T, all []block) {
	t.Helper()
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			prereq.Missing(t, prereq.Curl, err.Error())
		}
	}
	ports := strings.NewReplacer("127.0.0.1:8080", porttest.Address(t), "127.0.0.1:8081", porttest.Address(t),
		"timeout 5 ", "timeout 40 ", "--retry 20 ", "--retry 120 ") // this machine may be slow
	var script strings.Builder
	fmt.Fprintf(&script, "export TRACKWAY_LISTEN=%s TRACKWAY_OPS_LISTEN=%s\n", ports.Replace("127.0.0.1:8080"), ports.Replace("127.0.0.1:8081"))
	script.WriteString("trap 'trap - EXIT; kill $(jobs -p) 2>/dev/null; wait' EXIT\nexec 2>&1\n")
	for i, b := range all {
		if b.language == "sh" && !b.skip {
			fmt.Fprintf(&script, "%s\nprintf '\\n%s%d %%d\\n' $?\n", ports.Replace(b.text), marker, i)
		}
	}
	dir := t.TempDir()
	bash := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	bash.Dir = dir
	bash.Env = append(os.Environ(), "PATH="+filepath.Dir(binary(t))+string(os.PathListSeparator)+os.Getenv("PATH")) //nolint:forbidigo // it is handed on
	out, err := bash.CombinedOutput()
	if err != nil {
		t.Errorf("the shell: %v", err)
	}
	rest := strings.ReplaceAll(string(out), "\r\n", "\n")
	for i, b := range all {
		if b.language != "sh" || b.skip {
			continue
		}
		printed, after, found := strings.Cut(rest, fmt.Sprintf("\n%s%d ", marker, i))
		if !found {
			t.Fatalf("line %d was not run; before it:\n%s", b.line, rest)
		}
		status, after, _ := strings.Cut(after, "\n")
		rest = after
		if status != "0" {
			t.Errorf("line %d ended with %s:\n%s%s", b.line, status, b.text, printed)
		}
		if i+1 < len(all) && all[i+1].language == "text" {
			if want := ports.Replace(all[i+1].text); !prints(want, printed) {
				t.Errorf("line %d\n%sprinted\n%s\nand not\n%s", b.line, b.text, printed, want)
			}
		}
	}
	if t.Failed() {
		log, _ := os.ReadFile(filepath.Join(dir, "trackway.log")) // without a log, this shows nothing
		t.Logf("the server's log:\n%s", log)
	}
}

// marker is what the shell prints after each block, before its number and its
// exit status.
const marker = "--- end of block "

// prints reports whether text is what a guide shows, where … is anything, also
// several lines.
func prints(want, text string) bool {
	parts := strings.Split(strings.TrimSpace(want), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(parts, `.*`) + `$`).MatchString(strings.TrimSpace(text))
}

func TestPrints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want, text string
		ok         bool
	}{
		{"a (b)\n", "a (b)\n\n", true},
		{"a … c\n", "a b\nb c\n", true},
		{"a … c\n", "a b\n", false},
		{"a\n", "a\nb\n", false},
	} {
		if got := prints(c.want, c.text); got != c.ok {
			t.Errorf("%q for %q: got %t", c.text, c.want, got)
		}
	}
}

// TestHowtosAreRun holds every guide to a test.
func TestHowtosAreRun(t *testing.T) {
	t.Parallel()
	var source []byte
	for _, name := range []string{"howto_test.go", "howto_people_test.go", "proxies_test.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	pages, err := filepath.Glob(howtos + "/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		if name := filepath.Base(page); !bytes.Contains(source, []byte(strconv.Quote(name))) {
			t.Errorf("no test runs %s", name)
		}
	}
}
