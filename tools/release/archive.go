package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The modes of the files in archives, and the names of directories.
const (
	plain      = 0o644
	executable = 0o755
)

// entry is a file or, if body is nil, a directory in an archive.
type entry struct {
	name string
	mode fs.FileMode
	body []byte
	id   int // of the user and the group
}

// read returns the entry of a file, which gets a mode and a name.
func read(file, name string, mode fs.FileMode) (entry, error) {
	body, err := os.ReadFile(file)
	return entry{name: name, mode: mode, body: append([]byte{}, body...)}, err
}

// tree returns the entries of the files below a directory, sorted, with names
// that begin with prefix.
func tree(dir, prefix string) (all []entry, err error) {
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		e, err := read(filepath.Join(dir, name), path.Join(prefix, name), plain)
		all = append(all, e)
		return err
	})
	return all, err
}

// pack writes a tar archive. All files have the release's time.
func (r *release) pack(w io.Writer, entries []entry) error {
	t := tar.NewWriter(w)
	for _, e := range entries {
		h := &tar.Header{
			Name: e.name, Mode: int64(e.mode), Size: int64(len(e.body)), ModTime: r.at, Uid: e.id, Gid: e.id, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR,
		}
		if e.body == nil {
			h.Typeflag, h.Name = tar.TypeDir, e.name+"/"
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(e.body); err != nil {
			return err
		}
	}
	return t.Close()
}

// packed writes a compressed archive of the release.
func (r *release) packed(name string, entries []entry) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := r.pack(z, entries); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return r.write(name, b.Bytes())
}

// write writes a file of the release.
func (r *release) write(name string, body []byte) error { return put(filepath.Join(r.out, name), body) }

// put writes a file with its directory. Packages take over the mode, so it must
// not depend on the umask.
func put(file string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), executable); err != nil {
		return err
	}
	if err := os.WriteFile(file, body, plain); err != nil {
		return err
	}
	return errors.Join(os.Chmod(filepath.Dir(file), executable), os.Chmod(file, plain))
}

// archives packs each binary with its manual and documents, and what watches
// the server.
func (r *release) archives() error {
	documents, err := r.documents()
	if err != nil {
		return err
	}
	for _, p := range r.platforms("") {
		folder := fmt.Sprintf("trackway_%s_%s", r.version, p)
		binary, err := read(r.binary(p), "trackway", executable)
		if err != nil {
			return err
		}
		entries := []entry{binary}
		entries = append(entries, documents...)
		for i := range entries {
			entries[i].name = path.Join(folder, entries[i].name)
		}
		if err := r.packed(folder+".tar.gz", entries); err != nil {
			return err
		}
	}
	return r.monitoring()
}

// documents returns what goes into each archive beside the binary.
func (r *release) documents() (all []entry, err error) {
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		e, err := read(filepath.Join(r.root, name), name, plain)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	for _, t := range []struct{ dir, prefix string }{
		{filepath.Join(r.work, "man"), "man/man1"},
		{filepath.Join(r.work, "completions"), "completions"},
		{filepath.Join(r.root, "packaging/systemd"), "systemd"},
		{filepath.Join(r.root, "docs"), "docs"},
	} {
		files, err := tree(t.dir, t.prefix)
		if err != nil {
			return nil, err
		}
		all = append(all, files...)
	}
	return all, nil
}

// monitoring packs the dashboard of Grafana and the rules of Prometheus.
func (r *release) monitoring() error {
	folder := "trackway_" + r.version + "_monitoring"
	var all []entry
	for _, name := range []string{"grafana/trackway.json", "prometheus/rules.yaml"} {
		e, err := read(filepath.Join(r.root, "packaging", name), path.Join(folder, name), plain)
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	return r.packed(folder+".tar.gz", all)
}

// chart packs the Helm chart with the release's version, and the manifests for
// those without Helm.
func (r *release) chart() error {
	version := strings.TrimPrefix(r.version, "v")
	files, err := tree(filepath.Join(r.root, "packaging/helm/trackway"), "trackway")
	if err != nil {
		return err
	}
	stamp := func(body []byte) []byte { return bytes.ReplaceAll(body, []byte("0.0.0-unreleased"), []byte(version)) }
	for i := range files {
		files[i].body = stamp(files[i].body)
	}
	if err := r.packed("trackway-"+version+".tgz", files); err != nil {
		return err
	}
	manifests, err := os.ReadFile(filepath.Join(r.root, "packaging/kubernetes/trackway.yaml"))
	if err != nil {
		return err
	}
	return r.write("trackway_"+r.version+"_kubernetes.yaml", stamp(manifests))
}

// sums writes the SHA-256 sums of all files, in the format of sha256sum.
func (r *release) sums() error {
	names, err := fs.Glob(os.DirFS(r.out), "*")
	if err != nil {
		return err
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		body, err := os.ReadFile(filepath.Join(r.out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(body), name)
	}
	return r.write("SHA256SUMS", []byte(b.String()))
}
