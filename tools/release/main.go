// Command release builds everything that a release of Trackway consists of, and
// writes it into a directory: archives, packages, an image, a chart, bills of
// materials, and the sums of all. The same commit, version and Go always give
// the same bytes: nothing in the files depends on the clock, the machine, or
// the directory.
//
// The dashboard's pages must have been built before (`make release` does that).
package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// platform is what a binary is built for.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "_" + p.arch }

var platforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}}

// release is a release that is being built.
type release struct {
	ctx     context.Context //nolint:containedctx // a release is one call of run
	root    string          // of the repository; once source has run, of its clone
	out     string          // the directory of the result
	work    string          // the directory of what lies between, removed at the end
	version string          // v1.2.3
	commit  string          // that the release is built from
	at      time.Time       // the time of every file
	only    platform        // build for this platform only; zero: for all
}

// semantic is a tag of a release (https://semver.org).
var semantic = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

func run(ctx context.Context, args []string) (err error) {
	r := release{ctx: ctx}
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.StringVar(&r.root, "root", ".", "the repository")
	flags.StringVar(&r.out, "out", "dist", "where to write; a relative path starts at the repository")
	flags.StringVar(&r.version, "version", "", "the version, such as v1.2.3")
	only := flags.String("only", "", "build for one platform only, such as linux_amd64")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !semantic.MatchString(r.version) {
		return fmt.Errorf("the version is %q, but a release needs one such as v1.2.3: make release VERSION=v1.2.3", r.version)
	}
	if *only != "" {
		var ok bool
		if r.only.os, r.only.arch, ok = strings.Cut(*only, "_"); !ok {
			return fmt.Errorf("-only %q: want a platform such as linux_amd64", *only)
		}
	}
	if r.root, err = filepath.Abs(r.root); err != nil {
		return err
	}
	if !filepath.IsAbs(r.out) {
		r.out = filepath.Join(r.root, r.out)
	}
	if r.work, err = os.MkdirTemp("", "trackway-release-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.work)) }()
	if err := r.source(); err != nil {
		return err
	}
	if r.at, err = r.time(); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(r.out), os.MkdirAll(r.out, 0o755)); err != nil { //nolint:gosec // to be read by all
		return err
	}
	return r.build()
}

// build builds the parts, each from those before it.
func (r *release) build() error {
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"binaries", r.binaries},
		{"man pages and completions", r.manual},
		{"archives", r.archives},
		{"packages", r.packages},
		{"image", r.image},
		{"chart", r.chart},
		{"bills of materials", r.bills},
		{"sums", r.sums},
	} {
		fmt.Fprintf(os.Stderr, "release: %s\n", step.name)
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// source makes a clone of the commit, with the pages that were built. The
// release is built there, because Go does not find the commit in a work tree of
// `git worktree`. A release names its commit, so source refuses changes that
// are in no commit.
func (r *release) source() error {
	changes, err := r.output(r.root, "git", "status", "--porcelain")
	if err != nil {
		return fmt.Errorf("a release names its commit, and git finds none: %w", err)
	}
	if changes != "" {
		return fmt.Errorf("a release names its commit, and these changes are in none: commit or remove them\n%s", changes)
	}
	commit, err := r.output(r.root, "git", "rev-parse", "--verify", "HEAD")
	if err != nil {
		return fmt.Errorf("a release names its commit: %w", err)
	}
	r.commit = strings.TrimSpace(commit)
	const built = "web/dist"
	pages, err := tree(filepath.Join(r.root, built), built)
	if err == nil {
		_, err = os.Stat(filepath.Join(r.root, built, "index.html"))
	}
	if err != nil {
		return fmt.Errorf("the pages are not built: %w", err)
	}
	clone := filepath.Join(r.work, "source")
	for _, args := range [][]string{
		{"clone", "--quiet", "--shared", "--no-checkout", r.root, clone},
		{"-C", clone, "checkout", "--quiet", "--detach", r.commit},
	} {
		if err := r.do(r.root, exec.CommandContext(r.ctx, "git", args...)); err != nil {
			return err
		}
	}
	for _, page := range pages {
		if err := put(filepath.Join(clone, page.name), page.body); err != nil {
			return err
		}
	}
	r.root = clone
	return nil
}

// time returns the time of the files: SOURCE_DATE_EPOCH, or else the time of
// the commit. See https://reproducible-builds.org/specs/source-date-epoch/.
func (r *release) time() (time.Time, error) {
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		text, err := r.output(r.root, "git", "log", "-1", "--format=%ct")
		if err != nil {
			return time.Time{}, fmt.Errorf("find the time of the commit (or set SOURCE_DATE_EPOCH): %w", err)
		}
		epoch = strings.TrimSpace(text)
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	return time.Unix(seconds, 0).UTC(), err
}

// platforms returns the platforms to build for, with this system's name or, if
// it is empty, with any.
func (r *release) platforms(system string) []platform {
	var some []platform
	for _, p := range platforms {
		if (system == "" || p.os == system) && (r.only == platform{} || p == r.only) {
			some = append(some, p)
		}
	}
	return some
}

// binary returns the path of a platform's binary.
func (r *release) binary(p platform) string { return filepath.Join(r.work, p.String(), "trackway") }

// binaries builds the program for all platforms.
func (r *release) binaries() error {
	for _, p := range r.platforms("") {
		cmd := exec.CommandContext(r.ctx, "go", "build", "-trimpath", "-buildvcs=true", "-ldflags", "-s -w -X main.version="+r.version, "-o", r.binary(p), "./cmd/trackway")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch)
		if err := errors.Join(r.do(r.root, cmd), r.named(r.binary(p))); err != nil {
			return err
		}
	}
	return nil
}

// named fails unless a binary names the release's commit, without changes. Go
// says nothing if it finds no commit.
func (r *release) named(binary string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	var commit, changed string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value
		case "vcs.modified":
			changed = s.Value
		}
	}
	if commit != r.commit || changed != "false" {
		return fmt.Errorf("the binary was built from the commit %q (with changes: %q), but the release is %s", commit, changed, r.commit)
	}
	return nil
}

// manual has the program write its man pages and completions. It builds the
// program once more if the release has none for this machine.
func (r *release) manual() error {
	program := r.binary(platform{runtime.GOOS, runtime.GOARCH})
	if _, err := os.Stat(program); err != nil {
		cmd := exec.CommandContext(r.ctx, "go", "build", "-ldflags", "-X main.version="+r.version, "-o", program, "./cmd/trackway")
		if err := r.do(r.root, cmd); err != nil {
			return err
		}
	}
	if err := r.do(r.root, exec.CommandContext(r.ctx, program, "man", "--dir", filepath.Join(r.work, "man"))); err != nil {
		return err
	}
	for shell, name := range map[string]string{"bash": "trackway", "zsh": "_trackway", "fish": "trackway.fish"} {
		text, err := r.output(r.root, program, "completion", shell)
		if err != nil {
			return err
		}
		if err := put(filepath.Join(r.work, "completions", name), []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// bills writes what each binary was built from, as CycloneDX.
func (r *release) bills() error {
	for _, p := range r.platforms("") {
		name := fmt.Sprintf("trackway_%s_%s.cdx.json", r.version, p)
		cmd := exec.CommandContext(r.ctx, "go", "tool", "cyclonedx-gomod", "bin", "-json", "-std", "-licenses", "-noserial", "-notimestamp",
			"-version", r.version, "-output", filepath.Join(r.out, name), r.binary(p))
		if err := r.do(filepath.Join(r.root, "tools/release"), cmd); err != nil {
			return err
		}
	}
	return nil
}

// do runs a command in dir. Its output is shown only if it fails.
func (r *release) do(dir string, cmd *exec.Cmd) error {
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, text)
	}
	return nil
}

func (r *release) output(dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(r.ctx, args[0], args[1:]...)
	cmd.Dir = dir
	text, err := cmd.Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, failed.Stderr)
		}
		return "", fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return string(text), nil
}
