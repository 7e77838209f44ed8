package edit

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.FixedZone("", 3600))

// do carries a change out as the cases write it: "add private NAME [PERMISSION…]", "revoke NAME", "rotate NAME". A project may
// stand in front of the name: shop/NAME.
func do(f *File, command string) error {
	words := strings.Fields(command)
	name := words[len(words)-1]
	if words[0] == "add" {
		name = words[2]
	}
	project, key, ok := strings.Cut(name, "/")
	if !ok {
		project, key = "", name
	}
	switch words[0] {
	case "add":
		added := NewKey{Name: key, Kind: trackway.KeyKind(words[1]), ID: "NEW-" + key, Permissions: words[3:]}
		if added.Kind == trackway.PrivateKey {
			added.Secret = "s3cr3t"
		}
		return f.Add(project, added)
	case "revoke":
		return f.Revoke(project, key)
	case "rotate":
		_, err := f.Rotate(project, key, "NEWSECRET", noon)
		return err
	}
	return errors.New("no such command")
}

// Each case of testdata/edits.txt is what is done, a configuration, and what becomes of it or why nothing does.
func TestEdits(t *testing.T) {
	t.Parallel()
	golden := filepath.Join("testdata", "edits.txt")
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n====\n")
	for i, c := range cases {
		command, rest, _ := strings.Cut(c, "\n--\n")
		src, want, ok := strings.Cut(rest, "\n--\n")
		if !ok {
			t.Fatalf("case %d has too few lines --:\n%s", i, c)
		}
		got := edited(t, command, src+"\n")
		if *update {
			cases[i] = command + "\n--\n" + src + "\n--\n" + got
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s of\n%s\n(-want +got):\n%s", command, src, diff)
		}
		if strings.Contains(got, "s3cr3t") && !strings.Contains(src, "s3cr3t") || strings.Contains(got, "secret: NEWSECRET") {
			t.Errorf("%s: the secret is in the file", command)
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(strings.Join(cases, "\n====\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func edited(t *testing.T, command, src string) string {
	t.Helper()
	f := open(t, src)
	if err := do(f, command); err != nil {
		if !bytes.Equal(f.text, f.read) {
			t.Errorf("%s failed with %v and yet changed something", command, err)
		}
		return "ERROR " + err.Error()
	}
	return strings.TrimSuffix(string(f.text), "\n")
}

func open(t *testing.T, src string) *File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.yaml")
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatalf("%v, of\n%s", err, src)
	}
	return f
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"web", "a-b_c", "7BHNBDC4GXZFGAJ4EYFWX65NQV", "A2", "2k"} {
		if got := plain(s); got != s {
			t.Errorf("%s: got %s, want it as it is", s, got)
		}
	}
	for _, s := range []string{"123", "1e5", "0x1F", "0o17", "0b1", "1_000", "2026-11-22", "2026-11-22t10", "true", "No", "y", "Null", "a.b", ".inf", "-a", "a: b", ""} {
		if got := plain(s); got != strconv.Quote(s) {
			t.Errorf("%s: got %s, want it in quotes", s, got)
		}
	}
}

// The file of a first start survives every change with each of its comments, and undoing them gives it back as it was.
func TestInitialFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	if _, err := config.Init(path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"add private batch events:set", "add public app", "rotate batch", "rotate app", "revoke batch", "revoke app"} {
		if err := do(f, command); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	if diff := cmp.Diff(string(before), string(f.text)); diff != "" {
		t.Error("(-before +after):\n" + diff)
	}
	for _, command := range []string{"rotate backend", "rotate web", "revoke web"} {
		if err := do(f, command); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	kept := strings.Split(string(before), "\n")
	gone := cmp.Diff(comments(kept), comments(strings.Split(string(f.text), "\n")))
	if gone != "" {
		t.Error("comments (-before +after):\n" + gone)
	}
}

func comments(lines []string) (found []string) {
	for _, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			found = append(found, line)
		}
	}
	return found
}

// What other editors write stays as they wrote it.
func TestOtherForms(t *testing.T) {
	t.Parallel()
	const src = "# é\nprojects:\n  - name: demo\n    token: 12345678-1234-1234-1234-123456789abc\n    keys:\n      - {name: a, kind: public, token: a}\n"
	const added = "      - {name: b, kind: public, token: NEW-b}"
	for name, c := range map[string]struct{ src, want string }{
		"CRLF":            {strings.ReplaceAll(src, "\n", "\r\n"), strings.ReplaceAll(src+added+"\n", "\n", "\r\n")},
		"byte order mark": {"\ufeff" + src, "\ufeff" + src + added + "\n"},
		"no line end":     {strings.TrimSuffix(src, "\n"), src + added},
		"one document":    {"---\n" + src, "---\n" + src + added + "\n"},
		"JSON": {
			`{"projects": [{"name": "é", "token": "12345678-1234-1234-1234-123456789abc", "keys": [{"name": "a", "kind": "public", "token": "a"}]}]}`,
			`{"projects": [{"name": "é", "token": "12345678-1234-1234-1234-123456789abc", "keys": [{"name": "a", "kind": "public", "token": "a"}, ` +
				`{name: b, kind: public, token: NEW-b}]}]}`,
		},
	} {
		c.src, c.want = strings.ReplaceAll(c.src, `"é"`, `"demo"`), strings.ReplaceAll(c.want, `"é"`, `"demo"`)
		f := open(t, c.src)
		if err := do(f, "add public b"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, string(f.text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSave(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "real.yaml"), filepath.Join(dir, "link.yaml")
	const src = "projects: [{name: demo, token: 12345678-1234-1234-1234-123456789abc}]\n"
	if err := os.WriteFile(path, []byte(src), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(path, 0o640), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	f, err := Open(link)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(do(f, "add public web"), do(other, "add public app")); err != nil {
		t.Fatal(err)
	}
	if len(f.Config().Projects[0].Keys) != 1 {
		t.Errorf("got %+v, want the configuration with the key", f.Config().Projects)
	}
	if err := f.Save(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link was replaced (%v, %v)", info.Mode(), err)
	}
	if info, err = os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode: got %v, %v, want 0640", info.Mode(), err)
	}
	saved, err := os.ReadFile(path)
	if want := strings.Replace(src, "}]", ", keys: [{name: web, kind: public, token: NEW-web}]}]", 1); err != nil || string(saved) != want {
		t.Errorf("got %s, %v, want %s", saved, err, want)
	}
	if err := other.Save(); !errors.Is(err, errChanged) {
		t.Errorf("a change of what is there no more: got %v, want %v", err, errChanged)
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v, want that there is none", err)
	}
}

// Root who changes the server's file leaves it the server's: it could not read it at the next reload.
func TestSaveKeepsOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	const server = 12345 // any user
	f := open(t, "projects: [{name: demo, token: 12345678-1234-1234-1234-123456789abc}]\n")
	if err := os.Chown(f.path, server, server); err != nil {
		t.Fatal(err)
	}
	f, err := Open(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(do(f, "add public web"), f.Save()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t); got.Uid != server || got.Gid != server || info.Mode() != 0o600 {
		t.Errorf("got owner %d:%d and mode %v, want %d:%d and 0600", got.Uid, got.Gid, info.Mode(), server, server)
	}
}

func TestOpenRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	if err := os.WriteFile(path, []byte("projects: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !strings.HasPrefix(err.Error(), path+":1:11: projects: needs at least one project") {
		t.Errorf("got %v, want what is wrong, with its place", err)
	}
}

// Of several who change the file at once, one does, and the others are told that they did not.
func TestSaveAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	if _, err := config.Init(path); err != nil {
		t.Fatal(err)
	}
	const writers = 16
	errs, ready := make(chan error, writers), make(chan struct{})
	for i := range writers {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		f.text = append(bytes.Clone(f.text), "# "+strconv.Itoa(i)+"\n"...)
		go func() {
			<-ready
			errs <- f.Save()
		}()
	}
	close(ready)
	saved := 0
	for range writers {
		if err := <-errs; err == nil {
			saved++
		} else if !errors.Is(err, errChanged) {
			t.Error(err)
		}
	}
	if saved != 1 {
		t.Errorf("%d of %d think that they changed the file, want 1", saved, writers)
	}
}
