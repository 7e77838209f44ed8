package main

import (
	"archive/zip"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// user is the user of the image, who owns /data. Distroless images have the
// same number.
const user = 65532

// image writes an image for all platforms, as an archive of an OCI layout:
// `podman load`, `skopeo copy oci-archive:` and containerd read it. A
// manifest.json, as `docker save` writes it, leads to the same blobs:
// `docker load` reads that, unless Docker uses containerd's store. The image
// has the program, certificates of authorities, time zones, and nothing else.
func (r *release) image() error {
	base, err := r.base()
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	tag := strings.ReplaceAll(r.version, "+", "_")
	var classic tarball.Manifest
	for _, p := range r.platforms("linux") {
		img, err := r.platformImage(p, base)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: plainImage{img}, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.os, Architecture: p.arch}},
		})
		// Docker's own store has no tag for more than one platform.
		d, err := descriptor(img, "trackway:"+tag+"-"+p.arch)
		if err != nil {
			return err
		}
		if len(classic) == 0 {
			d.RepoTags = append(d.RepoTags, "trackway:"+tag)
		}
		classic = append(classic, d)
	}
	dir := filepath.Join(r.work, "oci")
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := to.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": "docker.io/library/trackway:" + tag,
	})); err != nil {
		return err
	}
	body, err := json.Marshal(classic)
	if err != nil {
		return err
	}
	if err := put(filepath.Join(dir, "manifest.json"), body); err != nil {
		return err
	}
	files, err := tree(dir, "")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := r.pack(&b, files); err != nil {
		return err
	}
	return r.write("trackway_"+r.version+"_image.tar", b.Bytes())
}

// descriptor returns what manifest.json says of an image whose blobs are in the
// layout.
func descriptor(img v1.Image, tag string) (d tarball.Descriptor, err error) {
	config, err := img.ConfigName()
	if err != nil {
		return d, err
	}
	layers, err := img.Layers()
	if err != nil {
		return d, err
	}
	blob := func(h v1.Hash) string { return path.Join("blobs", h.Algorithm, h.Hex) }
	d = tarball.Descriptor{Config: blob(config), RepoTags: []string{tag}}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return d, err
		}
		d.Layers = append(d.Layers, blob(digest))
	}
	return d, nil
}

// plainImage is an image that is not an artifact of another type. The library
// would call the media type of the image's configuration one.
type plainImage struct{ v1.Image }

// ArtifactType implements an interface that the library looks for.
func (plainImage) ArtifactType() (string, error) { return "", nil }

func (r *release) platformImage(p platform, base v1.Layer) (v1.Image, error) {
	binary, err := read(r.binary(p), "usr/bin/trackway", executable)
	if err != nil {
		return nil, err
	}
	program, err := r.layer([]entry{binary})
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), base, program)
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = p.os, p.arch, v1.Time{Time: r.at}
	for i := range file.History {
		file.History[i].Created = v1.Time{Time: r.at}
	}
	file.Config = v1.Config{
		User: "65532:65532", WorkingDir: "/data",
		Entrypoint: []string{"/usr/bin/trackway"}, Cmd: []string{"serve"},
		// The operator's listener stays inside: it has no keys.
		Env: []string{
			"PATH=/usr/bin", "TRACKWAY_CONFIG=/data/trackway.yaml", "TRACKWAY_DATA=/data/trackway-data",
			"TRACKWAY_LISTEN=0.0.0.0:8080", "TRACKWAY_OPS_LISTEN=127.0.0.1:8081",
		},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		Volumes:      map[string]struct{}{"/data": {}},
		StopSignal:   "SIGTERM",
		Healthcheck:  &v1.HealthConfig{Test: []string{"CMD", "/usr/bin/trackway", "healthcheck"}},
		Labels: map[string]string{
			"org.opencontainers.image.title": "trackway", "org.opencontainers.image.description": "A self-hosted tracking server",
			"org.opencontainers.image.version": r.version, "org.opencontainers.image.created": r.at.Format("2006-01-02T15:04:05Z"),
		},
	}
	return mutate.ConfigFile(img, file)
}

// base returns the layer that all platforms share.
func (r *release) base() (v1.Layer, error) {
	roots, err := authorities()
	if err != nil {
		return nil, err
	}
	zones, err := r.zones()
	if err != nil {
		return nil, err
	}
	const private, sticky = 0o700, 0o1777
	entries := []entry{
		{name: "data", mode: private, id: user},
		{name: "etc", mode: executable},
		{name: "etc/group", mode: plain, body: []byte("root:x:0:\ntrackway:x:65532:\n")},
		{name: "etc/passwd", mode: plain, body: []byte("root:x:0:0:root:/root:/sbin/nologin\ntrackway:x:65532:65532:Trackway:/data:/sbin/nologin\n")},
		{name: "etc/ssl", mode: executable},
		{name: "etc/ssl/certs", mode: executable},
		{name: "etc/ssl/certs/ca-certificates.crt", mode: plain, body: roots},
		{name: "tmp", mode: sticky},
		{name: "usr", mode: executable},
		{name: "usr/bin", mode: executable},
		{name: "usr/share", mode: executable},
		{name: "usr/share/zoneinfo", mode: executable},
	}
	return r.layer(append(entries, zones...))
}

func (r *release) layer(entries []entry) (v1.Layer, error) {
	var b bytes.Buffer
	if err := r.pack(&b, entries); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
}

// authorities returns Mozilla's authorities, as golang.org/x/crypto has them,
// in PEM. It leaves out those that Mozilla trusts for old certificates only: a
// file cannot say that.
func authorities() ([]byte, error) {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if _, err := x509.ParseCertificate(root.Certificate); err != nil {
			return nil, err
		}
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// zones returns the time zones that Go ships, sorted, with their directories.
func (r *release) zones() ([]entry, error) {
	root, err := r.output(r.root, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	archive, err := os.ReadFile(filepath.Join(strings.TrimSpace(root), "lib/time/zoneinfo.zip"))
	if err != nil {
		return nil, err
	}
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	byName := make(map[string]entry)
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		in, err := f.Open()
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(in)
		if err != nil {
			return nil, err
		}
		name := path.Join("usr/share/zoneinfo", path.Clean(f.Name))
		byName[name] = entry{name: name, mode: plain, body: body}
		for dir := path.Dir(name); dir != "usr/share/zoneinfo"; dir = path.Dir(dir) {
			byName[dir] = entry{name: dir, mode: executable}
		}
	}
	names := make([]string, 0, len(byName))
	for name := range byName {
		names = append(names, name)
	}
	slices.Sort(names)
	all := make([]entry, 0, len(names))
	for _, name := range names {
		all = append(all, byName[name])
	}
	return all, nil
}
