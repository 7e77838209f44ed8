package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers itself
	_ "github.com/goreleaser/nfpm/v2/rpm" // the same
)

// packages builds the packages for Debian and for Fedora and its relatives.
func (r *release) packages() error {
	if err := r.compressed(); err != nil {
		return err
	}
	for _, p := range r.platforms("linux") {
		for _, format := range []string{"deb", "rpm"} {
			if err := r.makePackage(p, format); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *release) makePackage(p platform, format string) error {
	config, err := nfpm.ParseFileWithEnvMapping(filepath.Join(r.root, "packaging/nfpm.yaml"), func(name string) string {
		return map[string]string{
			"ROOT": r.root, "WORK": r.work, "BINARY": r.binary(p), "ARCH": p.arch, "VERSION": r.version,
		}[name]
	})
	if err != nil {
		return err
	}
	info, err := config.Get(format)
	if err != nil {
		return err
	}
	info.MTime = r.at
	for _, script := range []*string{&info.Scripts.PostInstall, &info.Scripts.PreRemove, &info.Scripts.PostRemove} {
		*script = filepath.Join(r.root, *script)
	}
	info = nfpm.WithDefaults(info)
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	info.Target = packager.ConventionalFileName(info)
	var b bytes.Buffer
	if err := packager.Package(info, &b); err != nil {
		return err
	}
	return r.write(info.Target, b.Bytes())
}

// compressed compresses the man pages and the changelog, as packages have them,
// and copies the documents, because packages take over the modes.
func (r *release) compressed() error {
	pages, err := filepath.Glob(filepath.Join(r.work, "man", "*.1"))
	if err != nil {
		return err
	}
	for _, page := range pages {
		if err := r.compress(page, filepath.Join("gz/man1", filepath.Base(page)+".gz")); err != nil {
			return err
		}
	}
	documents, err := tree(filepath.Join(r.root, "docs"), "gz/doc/docs")
	if err != nil {
		return err
	}
	for _, e := range documents {
		if err := put(filepath.Join(r.work, e.name), e.body); err != nil {
			return err
		}
	}
	return r.compress(filepath.Join(r.root, "CHANGELOG.md"), "gz/doc/changelog.gz")
}

func (r *release) compress(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(text); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return put(filepath.Join(r.work, to), b.Bytes())
}
