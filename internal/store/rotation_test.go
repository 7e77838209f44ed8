package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"trackway"
)

// failingCase is an operation on files that fails in a separate process, while
// events are stored and the write-ahead log is rotated.
type failingCase struct {
	op    errorfs.OpKind
	file  string // a part of its name; "/" for the directory
	err   error
	times int64  // 0: always
	want  string // the last words of the process; empty: it continues
}

const (
	notKept = "the disk does not keep what is written"
	noRoom  = "the disk has no room for the write-ahead log"
)

var failingCases = map[string]failingCase{
	"write the log":                {errorfs.OpFileWrite, ".log", syscall.EIO, 0, notKept},
	"write the log, no room":       {errorfs.OpFileWrite, ".log", syscall.ENOSPC, 0, noRoom},
	"write the log, quota":         {errorfs.OpFileWrite, ".log", syscall.EDQUOT, 0, noRoom},
	"sync the log":                 {errorfs.OpFileSync, ".log", syscall.EIO, 0, notKept},
	"sync the log, interrupted":    {errorfs.OpFileSync, ".log", syscall.EINTR, 3, ""},
	"close the log":                {errorfs.OpFileClose, ".log", syscall.EIO, 0, notKept},
	"begin a log":                  {errorfs.OpCreate, ".log", syscall.EIO, 0, notKept},
	"begin a log, no room":         {errorfs.OpCreate, ".log", syscall.ENOSPC, 0, noRoom},
	"begin a log, files":           {errorfs.OpCreate, ".log", syscall.EMFILE, 3, ""},
	"begin a log, all files":       {errorfs.OpCreate, ".log", syscall.ENFILE, 3, ""},
	"begin a log, memory":          {errorfs.OpCreate, ".log", syscall.ENOMEM, 3, ""},
	"reuse a log":                  {errorfs.OpReuseForWrite, ".log", syscall.EIO, 0, notKept},
	"reuse a log, files":           {errorfs.OpReuseForWrite, ".log", syscall.EMFILE, 3, ""},
	"look at a log":                {errorfs.OpFileStat, ".log", syscall.EIO, 0, notKept},
	"sync the directory":           {errorfs.OpFileSync, "/", syscall.EIO, 0, notKept},
	"begin a manifest":             {errorfs.OpCreate, "MANIFEST", syscall.EIO, 0, "MANIFEST create failed"},
	"begin a manifest, files":      {errorfs.OpCreate, "MANIFEST", syscall.EMFILE, 3, ""},
	"write the manifest":           {errorfs.OpFileWrite, "MANIFEST", syscall.EIO, 0, "MANIFEST"},
	"sync the manifest":            {errorfs.OpFileSync, "MANIFEST", syscall.EIO, 0, "MANIFEST sync failed"},
	"begin a table, files":         {errorfs.OpCreate, ".sst", syscall.EMFILE, 1, ""},
	"write a table":                {errorfs.OpFileWrite, ".sst", syscall.EIO, 1, ""},
	"sync a table":                 {errorfs.OpFileSync, ".sst", syscall.EIO, 0, notKept},
	"note what is synced, files":   {errorfs.OpFileWriteAt, "SYNCED", syscall.EMFILE, 0, ""},
	"note what is synced, no room": {errorfs.OpFileWriteAt, "SYNCED", syscall.ENOSPC, 0, ""},
}

// TestFailingFiles: an error of files ends the process with status 1 and a
// reason, or the store continues after it. Nothing acknowledged is lost. The Go
// runtime never ends the process, neither for a mutex nor for a panic.
func TestFailingFiles(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range failingCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var out, errs bytes.Buffer
			cmd := exec.CommandContext(t.Context(), self, dir, name)
			cmd.Stdout, cmd.Stderr = &out, &errs
			err := cmd.Run()
			if cmd.ProcessState == nil {
				t.Fatal(err)
			}
			want := 0
			if c.want != "" {
				want = 1
			}
			if got := cmd.ProcessState.ExitCode(); got != want || !strings.Contains(errs.String(), c.want) {
				t.Errorf("exit status %d, want %d and %q:\n%s", got, want, c.want, &errs)
			}
			for _, bad := range []string{"fatal error:", "panic:", "goroutine "} {
				if strings.Contains(errs.String(), bad) {
					t.Errorf("it ended by Go: %s", &errs)
				}
			}
			acked := strings.Count(out.String(), "ok\n")
			s, err := Open(dir, Options{Fatal: func(err error) { t.Error(err) }})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if there := s.nextSeq - 2; acked < 2 || there < uint64(acked) || want == 0 && there != 6 {
				t.Errorf("%d events are there, %d were acknowledged", there, acked)
			}
		})
	}
}

// failIn runs one case in this process.
func failIn(dir, name string) {
	c := failingCases[name]
	var armed atomic.Bool
	var met atomic.Int64
	fail := errorfs.InjectorFunc(func(op errorfs.Op) error {
		file := strings.Contains(filepath.Base(op.Path), c.file)
		if c.file == "/" {
			file = filepath.Clean(op.Path) == filepath.Clean(dir)
		}
		kind := op.Kind
		if kind == errorfs.OpFileSyncData {
			kind = errorfs.OpFileSync
		}
		if !armed.Load() || kind != c.op || !file || c.times > 0 && met.Add(1) > c.times {
			return nil
		}
		met.Add(1)
		return &os.PathError{Op: "test", Path: op.Path, Err: c.err}
	})
	s, err := Open(dir, Options{FS: failingEnds{errorfs.Wrap(vfs.Default, fail), fail}, Fatal: func(err error) {
		fmt.Fprintln(os.Stderr, "ends:", err)
		os.Exit(1)
	}})
	if err != nil {
		panic(err)
	}
	for i := range 6 {
		if i == 2 {
			armed.Store(true)
		}
		cmds := []trackway.Command{event("e", trackway.Micros(i+1), nil, identifierOf("cookie", "c"))}
		if err := s.Apply(cmds, make([]trackway.Result, 1)); err != nil {
			panic(err)
		}
		_, _ = fmt.Fprintln(os.Stdout, "ok")
		if i < 2 {
			continue
		}
		// The first rotation creates a log, the later ones reuse one.
		if err := s.db.Flush(); err != nil && !errors.Is(err, c.err) {
			panic(err)
		}
	}
	if met.Load() == 0 {
		panic("it was not met")
	}
	if err := s.Close(); err != nil {
		panic(err)
	}
}

// failingEnds makes operations fail that errorfs does not intercept.
type failingEnds struct {
	vfs.FS

	fail errorfs.Injector
}

func (f failingEnds) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	return failingFile{file, name, f.fail}, nil
}

func (f failingEnds) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(old, name, category)
	if err != nil {
		return nil, err
	}
	return failingFile{file, name, f.fail}, nil
}

type failingFile struct {
	vfs.File

	name string
	fail errorfs.Injector
}

func (f failingFile) Close() error {
	return errors.Join(f.File.Close(), f.fail.MaybeError(errorfs.Op{Kind: errorfs.OpFileClose, Path: f.name}))
}

func (f failingFile) Stat() (vfs.FileInfo, error) {
	if err := f.fail.MaybeError(errorfs.Op{Kind: errorfs.OpFileStat, Path: f.name}); err != nil {
		return nil, err
	}
	return f.File.Stat()
}
