package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// must returns a function that returns the value or fails.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// The image's archive is an OCI layout with an index of the platforms, and an
// archive as `docker save` writes it. Both lead to the same images.
func TestImage(t *testing.T) {
	dir := t.TempDir()
	r := release{ctx: t.Context(), root: dir, out: t.TempDir(), work: t.TempDir(), version: "v1.2.3", at: time.Unix(1_700_000_000, 0)}
	for _, p := range r.platforms("linux") {
		if err := put(r.binary(p), []byte("the binary for "+p.arch)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.image(); err != nil {
		t.Fatal(err)
	}
	archive := must(os.ReadFile(filepath.Join(r.out, "trackway_v1.2.3_image.tar")))(t)
	for files := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err := errors.Join(err, put(filepath.Join(dir, h.Name), must(io.ReadAll(files))(t))); err != nil {
			t.Fatal(err)
		}
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
	index := must(layout.ImageIndexFromPath(dir))(t)
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	top := must(index.IndexManifest())(t)
	if len(top.Manifests) != 1 || top.Manifests[0].Annotations["io.containerd.image.name"] != "docker.io/library/trackway:v1.2.3" {
		t.Fatalf("the layout has %+v", top.Manifests)
	}
	index = must(index.ImageIndex(top.Manifests[0].Digest))(t)
	platforms := must(index.IndexManifest())(t).Manifests
	if len(platforms) != 2 {
		t.Fatalf("the image is for %+v", platforms)
	}
	named := make(map[v1.Hash]bool) // the blobs
	for i, p := range platforms {
		img := must(index.Image(p.Digest))(t)
		want := must(img.ConfigName())(t)
		tags := []string{"trackway:v1.2.3-" + p.Platform.Architecture}
		if i == 0 {
			tags = append(tags, "trackway:v1.2.3")
		}
		for _, text := range tags {
			tag := must(name.NewTag(text))(t)
			classic, err := tarball.Image(open, &tag)
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			if err := validate.Image(classic); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			if got := must(classic.ConfigName())(t); got != want {
				t.Errorf("%s: got the image %s, want %s", text, got, want)
			}
			if file := must(classic.ConfigFile())(t); file.OS != "linux" || file.Architecture != p.Platform.Architecture {
				t.Errorf("%s: it is for %s/%s", text, file.OS, file.Architecture)
			}
		}
		named[p.Digest], named[want] = true, true
		for _, layer := range must(img.Layers())(t) {
			named[must(layer.Digest())(t)] = true
		}
	}
	// Both kinds of archive share the blobs: nothing is there twice.
	named[top.Manifests[0].Digest] = true
	if got := len(must(fs.ReadDir(os.DirFS(dir), "blobs/sha256"))(t)); got != len(named) {
		t.Errorf("the archive has %d blobs, want %d", got, len(named))
	}
}
