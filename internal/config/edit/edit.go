// Package edit changes the keys of a configuration file in place. Its one idea: a change is a few splices into the text, so that
// comments, order and form of all else stay as a person wrote them; and it is taken only if the changed text, read anew, is the old
// configuration with exactly that change. What it cannot do safely it refuses. It makes no keys and no secrets, and it tells no
// server.
package edit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/durable"
)

// File is a configuration file and what it is to become. Not safe for concurrent use.
type File struct {
	path string // with links resolved: durable.Replace would replace the link
	mode fs.FileInfo
	read []byte // what is in the file
	text []byte // what is to be
	cfg  *config.Config
}

// Reasons for which nothing is changed.
var (
	errForm    = errors.New("the file is written in a form that this command cannot change safely; change it by hand")
	errChanged = errors.New("somebody else has changed the file in the meantime; nothing was written, try again")
)

// Open reads the configuration at path, which has to be right as it is. Environment variables that it names may be out of reach.
func Open(path string) (*File, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	f := &File{path: resolved}
	if f.mode, err = os.Stat(resolved); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if f.read, err = os.ReadFile(resolved); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	f.text = f.read
	f.cfg, err = config.Parse(path, f.read, config.Flags{}, anywhere)
	return f, err
}

// anywhere answers for environment variables: only the server need have them.
func anywhere(string) (string, bool) { return "the server's environment has it", true }

// Config returns the configuration as it is to become.
func (f *File) Config() *config.Config { return f.cfg }

// Save writes the file, as one step for all who read it, and durably. It keeps mode and owner. Of two who save at once the second
// waits for the first, and then finds that the file has changed.
func (f *File) Save() error {
	unlock, err := lock(filepath.Dir(f.path))
	if err != nil {
		return fmt.Errorf("lock configuration: %w", err)
	}
	defer unlock()
	now, err := os.ReadFile(f.path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if !bytes.Equal(now, f.read) {
		return errChanged
	}
	if err := durable.Replace(f.path, f.text, f.mode.Mode().Perm()); err != nil {
		return err
	}
	f.read = f.text
	return f.keepOwner()
}

// lock locks a directory for others who change a configuration in it (flock(2)). The file itself is another one after each change,
// so it cannot be what is locked; and nothing is left behind.
func lock(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return func() { _ = d.Close() }, nil // which unlocks it
}

// keepOwner gives the file back to whom it belonged, where that is somebody else: root may have changed the server's file.
func (f *File) keepOwner() error {
	before, ok := f.mode.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if after, ok := info.Sys().(*syscall.Stat_t); !ok || after.Uid == before.Uid && after.Gid == before.Gid {
		return nil
	}
	return os.Chown(f.path, int(before.Uid), int(before.Gid))
}

// take makes text what is to be, if it says what the configuration says now, but for what change does to one project.
func (f *File) take(text []byte, project int, change func(*trackway.Project)) error {
	if _, err := parse(text); err != nil {
		return err
	}
	next, err := config.Parse(f.path, text, config.Flags{}, anywhere)
	if wrong, ok := errors.AsType[config.InvalidError](err); ok {
		return withoutPlaces(wrong) // of a text that nobody will see
	}
	if err != nil {
		return err
	}
	want, err := config.Parse(f.path, f.text, config.Flags{}, anywhere)
	if err != nil {
		return err
	}
	change(&want.Projects[project])
	if !reflect.DeepEqual(want, next) {
		return errForm
	}
	f.text, f.cfg = text, next
	return nil
}

func withoutPlaces(wrong config.InvalidError) error {
	lines := make([]string, len(wrong))
	for i, p := range wrong {
		p.File, p.Line = "", 0
		lines[i] = p.String()
	}
	return errors.New(strings.Join(lines, "\n"))
}

// project finds a project by name; empty is the only one.
func (f *File) project(name string) (int, error) {
	var names []string
	for i, p := range f.cfg.Projects {
		if p.Name == name {
			return i, nil
		}
		names = append(names, p.Name)
	}
	switch {
	case name != "":
		return 0, fmt.Errorf("there is no project %q; there are: %s", name, strings.Join(names, ", "))
	case len(names) > 1:
		return 0, fmt.Errorf("there are several projects: choose one of %s", strings.Join(names, ", "))
	}
	return 0, nil
}

// key finds a key of a project by its name.
func (f *File) key(project int, name string) (int, error) {
	keys := f.cfg.Projects[project].Keys
	i := slices.IndexFunc(keys, func(k trackway.Key) bool { return k.Name == name })
	if i >= 0 {
		return i, nil
	}
	if len(keys) == 0 {
		return 0, fmt.Errorf("project %q has no keys", f.cfg.Projects[project].Name)
	}
	names := make([]string, len(keys))
	for i := range keys {
		names[i] = keys[i].Name
	}
	return 0, fmt.Errorf("project %q has no key %q; it has: %s", f.cfg.Projects[project].Name, name, strings.Join(names, ", "))
}
