package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"trackway/internal/porttest"
	"trackway/internal/prereq"
	"trackway/internal/store"
)

// dist is where `make release` puts a release.
const dist = root + "/dist"

// released returns the version of the release in dist.
func released(t *testing.T) string {
	t.Helper()
	sums, err := os.ReadFile(dist + "/SHA256SUMS")
	if err != nil {
		prereq.Missing(t, prereq.Release, err.Error())
	}
	version := regexp.MustCompile(`  trackway_(v[^_]+)_image\.tar\n`).FindSubmatch(sums)
	if version == nil {
		t.Fatalf("there is no image in %s", sums)
	}
	return string(version[1])
}

// The page about upgrades names the format of this program's stores.
func TestUpgradingPage(t *testing.T) {
	t.Parallel()
	if want := fmt.Sprintf("\n| %d | ", store.FormatVersion); !strings.Contains(string(mustRead(t, root+"/docs/upgrading.md")), want) {
		t.Errorf("docs/upgrading.md does not say which version writes format %d", store.FormatVersion)
	}
}

// Every file has its sum, every binary its bill of materials, and the program
// prints its version.
func TestReleaseFiles(t *testing.T) {
	version := released(t)
	for line := range strings.Lines(string(mustRead(t, dist+"/SHA256SUMS"))) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if got := fmt.Sprintf("%x", sha256.Sum256(mustRead(t, filepath.Join(dist, name)))); got != want {
			t.Errorf("%s: got the sum %s, want %s", name, got, want)
		}
	}
	platform := runtime.GOOS + "_" + runtime.GOARCH
	dir := t.TempDir()
	unpack(t, mustRead(t, fmt.Sprintf("%s/trackway_%s_%s.tar.gz", dist, version, platform)), dir)
	folder := filepath.Join(dir, "trackway_"+version+"_"+platform)
	for _, name := range []string{"LICENSE", "man/man1/trackway-serve.1", "completions/_trackway", "systemd/trackway.service", "docs/install.md"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			t.Error(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(folder, "trackway"), "version", "--json").Output()
	var printed struct{ Version, Commit, Platform string }
	if err := errors.Join(err, json.Unmarshal(out, &printed)); err != nil || printed.Version != version || len(printed.Commit) < 40 {
		t.Errorf("the program prints %s, %v", out, err)
	}
	bill := mustRead(t, fmt.Sprintf("%s/trackway_%s_%s.cdx.json", dist, version, platform))
	for _, want := range []string{"pkg:golang/github.com/cockroachdb/pebble/v2@", `"BSD-3-Clause"`, `"bomFormat": "CycloneDX"`} {
		if !bytes.Contains(bill, []byte(want)) {
			t.Errorf("the bill of materials lacks %s", want)
		}
	}
}

// unpack unpacks a tar archive, which may be compressed, into dir, with the
// owners that it names if this process may do that.
func unpack(t *testing.T, archive []byte, dir string) {
	t.Helper()
	var r io.Reader = bytes.NewReader(archive)
	if bytes.HasPrefix(archive, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	}
	for files := tar.NewReader(r); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = unpackOne(h, files, dir)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unpackOne(h *tar.Header, body io.Reader, dir string) error {
	name := filepath.Join(dir, filepath.FromSlash(h.Name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		if err := os.MkdirAll(name, 0o755); err != nil {
			return err
		}
	} else {
		file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, body)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Lchown(name, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	return os.Chmod(name, h.FileInfo().Mode())
}

// ociImage is an image that was unpacked.
type ociImage struct {
	dir    string // its root
	Config struct {
		User, WorkingDir     string
		Env, Entrypoint, Cmd []string
	}
}

// unpackImage unpacks the image of a release for this machine.
func unpackImage(t *testing.T, version string) *ociImage {
	t.Helper()
	layout := t.TempDir()
	unpack(t, mustRead(t, dist+"/trackway_"+version+"_image.tar"), layout)
	type descriptor struct {
		Digest   string
		Platform struct{ Architecture string }
	}
	blob := func(d descriptor, into any) []byte {
		algorithm, hash, _ := strings.Cut(d.Digest, ":")
		text := mustRead(t, filepath.Join(layout, "blobs", algorithm, hash))
		if got := fmt.Sprintf("%x", sha256.Sum256(text)); got != hash {
			t.Fatalf("a blob has the digest %s, want %s", got, hash)
		}
		if into != nil {
			if err := json.Unmarshal(text, into); err != nil {
				t.Fatal(err)
			}
		}
		return text
	}
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(mustRead(t, layout+"/index.json"), &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("%v: %v", index, err)
	}
	blob(index.Manifests[0], &index) // of the platforms
	at := slices.IndexFunc(index.Manifests, func(d descriptor) bool { return d.Platform.Architecture == runtime.GOARCH })
	if at < 0 {
		t.Fatalf("there is no image for %s", runtime.GOARCH)
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	blob(index.Manifests[at], &manifest)
	img := &ociImage{dir: t.TempDir()}
	blob(manifest.Config, img)
	for _, layer := range manifest.Layers {
		unpack(t, blob(layer, nil), img.dir)
	}
	if err := os.Chmod(img.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return img
}

// command returns a command that runs in the image, as its user.
func (img *ociImage) command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	user, group, _ := strings.Cut(img.Config.User, ":")
	uid, err := strconv.Atoi(user)
	gid, err2 := strconv.Atoi(group)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return &exec.Cmd{
		Path: img.Config.Entrypoint[0], Args: slices.Concat(img.Config.Entrypoint, args), Dir: img.Config.WorkingDir, Env: slices.Concat(img.Config.Env, env),
		SysProcAttr: &syscall.SysProcAttr{Chroot: img.dir, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}},
	}
}

// The image runs as an ordinary user in a root that has nothing else, and its
// first start prints a call that works.
func TestReleaseImage(t *testing.T) {
	version := released(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root, to change the root")
	}
	img := unpackImage(t, version)
	for name, want := range map[string]int{"etc/ssl/certs/ca-certificates.crt": 100_000, "usr/share/zoneinfo/Europe/Prague": 100} {
		if got := len(mustRead(t, filepath.Join(img.dir, name))); got < want {
			t.Errorf("%s has %d bytes", name, got)
		}
	}
	public, ops := porttest.Address(t), porttest.Address(t)
	env := []string{"TRACKWAY_LISTEN=" + public, "TRACKWAY_OPS_LISTEN=" + ops}
	if out, err := img.command(t, env, "healthcheck").CombinedOutput(); err == nil {
		t.Errorf("without a server it is healthy: %s", out)
	}
	s := &server{log: &serverLog{changed: make(chan struct{}, 1)}, exited: make(chan struct{}), public: public, ops: ops}
	s.cmd = img.command(t, env, img.Config.Cmd...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() { s.kill(t) })
	s.awaitLog(t, "a call and a password", func(text string) bool {
		return strings.Contains(text, "And read it back:") && strings.Contains(text, "The password is")
	})
	if out, err := img.command(t, env, "healthcheck").CombinedOutput(); err != nil {
		t.Errorf("it is not healthy: %v %s", err, out)
	}
	// The log has the call that a person would copy.
	_, rest, _ := strings.Cut(s.log.all(), "Send a first event:\n")
	call, _, _ := strings.Cut(rest, "And read it back:")
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", call).CombinedOutput(); err != nil || !bytes.Contains(out, []byte(`"success":true`)) {
		t.Errorf("%s\n%v %s", call, err, out)
	}
	if got := s.stop(t); got != 0 {
		t.Errorf("it ended with %d: %s", got, s.log)
	}
}

// The unit restricts the server to what it needs, and systemd understands it.
func TestReleaseUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		prereq.Missing(t, prereq.Release, err.Error())
	}
	const unit, most = root + "/packaging/systemd/trackway.service", 2.0
	out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--no-pager", unit).CombinedOutput()
	score := regexp.MustCompile(`Overall exposure level for trackway.service: ([0-9.]+)`).FindSubmatch(out)
	if err != nil || score == nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got, err := strconv.ParseFloat(string(score[1]), 64); err != nil || got > most {
		t.Errorf("the unit is exposed by %s, want at most %v\n%s", score[1], most, out)
	}
	// To verify it, the program must be where the unit says.
	dir := t.TempDir()
	text := bytes.ReplaceAll(mustRead(t, unit), []byte("/usr/bin/trackway"), []byte(binary(t)))
	file := filepath.Join(dir, "trackway.service")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = exec.CommandContext(t.Context(), analyze, "verify", "--man=no", "--recursive-errors=no", file).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("trackway")) {
		t.Errorf("systemd says of the unit: %v %s", err, out)
	}
}
