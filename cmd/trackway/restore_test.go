package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree lists everything below a directory.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		b.WriteString(path + " ")
		if !entry.IsDir() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b.Write(text)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// backups makes a directory with one backup.
func backups(t *testing.T) (dir string) {
	t.Helper()
	config := configure(t, "", "secret: s3cret")
	at := t.TempDir()
	file, data := filepath.Join(at, "a.csv"), filepath.Join(at, "data")
	write(t, file, "customer_ids.registered\nu1\n")
	runs(t, fine, "import", "--config", config, "--data", data, file)
	dir = filepath.Join(at, "backups")
	runs(t, fine, "backup", "--config", config, "--data", data, dir)
	write(t, filepath.Join(dir, "limits.jsonl"), "the history\n")
	write(t, filepath.Join(dir, "managed.yaml"), "the keys\n")
	return dir
}

// TestRestoreWithoutEnvironment: a restore needs nothing of the configuration
// but the data directory, and least of all the server's environment.
func TestRestoreWithoutEnvironment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "t.yaml")
	runs(t, fine, "init", "--config", path)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(text)+"\ndestinations: [{name: warehouse, kind: postgres, url_env: TRACKWAY_TEST_NO_SUCH_VARIABLE}]\n")
	stdout, _ := runs(t, fine, "restore", "--config", path, backups(t))
	contains(t, "restore", stdout, filepath.Join(dir, "trackway-data")+": everything up to change ")
}

// A failed restore changes nothing. A restore into a directory that is not
// empty fails.
func TestRestoreChangesNothing(t *testing.T) {
	t.Parallel()
	whole := backups(t)
	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.CopyFS(damaged, os.DirFS(whole)); err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(damaged, "*Z", "backup.json"))
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	write(t, list[0], "{}")
	without := func(file string) string { // and puts a directory in its place
		dir := filepath.Join(t.TempDir(), "c")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
		mkdir(t, filepath.Join(dir, file))
		return dir
	}
	for name, c := range map[string]struct {
		from string
		fill func(dir string)
		want string
	}{
		"damaged, into nothing":            {damaged, func(string) {}, "the backup is damaged"},
		"damaged, into an empty folder":    {damaged, func(dir string) { mkdir(t, filepath.Join(dir, "a", "b")) }, "the backup is damaged"},
		"absent":                           {filepath.Join(damaged, "x"), func(string) {}, "no such file"},
		"no backup":                        {t.TempDir(), func(string) {}, "there is no backup in it"},
		"into a folder with a file":        {whole, func(dir string) { mkdir(t, filepath.Join(dir, "a", "b", "holiday")) }, "is not empty"},
		"into a folder with a history":     {whole, func(dir string) { touch(t, filepath.Join(dir, "a", "b", "limits.jsonl")) }, "is not empty"},
		"into a file":                      {whole, func(dir string) { touch(t, filepath.Join(dir, "a", "b")) }, "not a directory"},
		"into a folder that is in a file":  {whole, func(dir string) { touch(t, filepath.Join(dir, "a")) }, "not a directory"},
		"with a history that is not one":   {without("limits.jsonl"), func(string) {}, "restore the files beside the store: read"},
		"with managed keys that are wrong": {without("managed.yaml"), func(string) {}, "restore the files beside the store: read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c.fill(dir)
			before := tree(t, dir)
			_, stderr := runs(t, failed, "restore", c.from, "--data", filepath.Join(dir, "a", "b"))
			contains(t, name, stderr, c.want)
			if got := tree(t, dir); got != before {
				t.Errorf("got\n%s\nwant\n%s", got, before)
			}
		})
	}
}

// A restore accepts a missing or empty directory. It ignores what a file
// system, or a restore that was killed, has put there.
func TestRestoreIntoVacant(t *testing.T) {
	t.Parallel()
	from := backups(t)
	for name, fill := range map[string]func(data string){
		"missing": func(string) {}, "empty": func(data string) { mkdir(t, data) },
		"keys": func(data string) { touch(t, filepath.Join(data, "managed.yaml")) },
		"left": func(data string) {
			mkdir(t, filepath.Join(data, "lost+found"))
			mkdir(t, filepath.Join(data, "store.partial", "x"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "a", "data")
			fill(data)
			runs(t, fine, "restore", from, "--data", data)
			if text, err := os.ReadFile(filepath.Join(data, "limits.jsonl")); err != nil || string(text) != "the history\n" {
				t.Errorf("got %q, %v", text, err)
			}
			keys := "the keys\n"
			if name == "keys" {
				keys = "mine" // the installation's own keys are newer
			}
			if text, err := os.ReadFile(filepath.Join(data, "managed.yaml")); err != nil || string(text) != keys {
				t.Errorf("got %q, %v, want %q", text, err, keys)
			}
			if _, err := os.Stat(filepath.Join(data, "store.partial")); !os.IsNotExist(err) {
				t.Errorf("what was left is still there: %v", err)
			}
			_, stderr := runs(t, failed, "restore", from, "--data", data)
			contains(t, name, stderr, "is not empty")
		})
	}
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	mkdir(t, filepath.Dir(path))
	write(t, path, "mine")
}
