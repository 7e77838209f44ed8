// Package web contains the built dashboard within the binary. The server can be
// built without the dashboard, and then reports that it is missing. The package
// serves nothing itself, and knows no routes.
package web

import (
	"embed"
	"io/fs"
	"mime"
	"path"
	"strings"

	"trackway/internal/httpcache"
)

//go:embed all:dist
var dist embed.FS

// Policy is the Content-Security-Policy of the pages. They load scripts and
// styles only from their own server, send requests only to it, and cannot be
// framed (W3C CSP3).
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; " +
	"form-action 'none'; frame-ancestors 'none'; base-uri 'none'"

// File is one file of the pages, with its compressed forms from the build.
type File struct {
	Type string // media type
	forms
}

// form is a file in the form in which it is sent.
type form struct {
	coding string // Content-Encoding; empty: not compressed
	etag   string
	body   []byte
}

type forms []form // smallest first; the uncompressed file is last

// Dashboard contains the files of the dashboard. The zero value is empty. It is
// immutable and safe for concurrent use.
type Dashboard struct {
	Index  *File            // nil: the pages were not built
	Assets map[string]*File // by name: the files that Index loads from /assets/
}

// Built returns the dashboard in the binary.
func Built() (Dashboard, error) {
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return Dashboard{}, err
	}
	return Read(built)
}

// Read returns the dashboard that was built into a directory.
func Read(built fs.FS) (Dashboard, error) {
	d := Dashboard{Assets: make(map[string]*File)}
	err := fs.WalkDir(built, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || codingOf(name) != "" {
			return err
		}
		asset, isAsset := strings.CutPrefix(name, "assets/")
		if !isAsset && name != "index.html" {
			return nil
		}
		f, err := readFile(built, name)
		if isAsset {
			d.Assets[asset] = f
		} else {
			d.Index = f
		}
		return err
	})
	return d, err
}

// codings are the endings of compressed files, the best compression first.
var codings = []struct{ ending, coding string }{{".br", "br"}, {".gz", "gzip"}}

func codingOf(name string) string {
	for _, c := range codings {
		if strings.HasSuffix(name, c.ending) {
			return c.coding
		}
	}
	return ""
}

// types are media types that the system's own table may lack, or for which it
// may have other values.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".woff2": "font/woff2", ".json": "application/json", ".png": "image/png", ".ico": "image/x-icon",
}

func readFile(built fs.FS, name string) (*File, error) {
	f := &File{Type: types[path.Ext(name)]}
	if f.Type == "" {
		f.Type = mime.TypeByExtension(path.Ext(name))
	}
	if f.Type == "" {
		f.Type = "application/octet-stream"
	}
	for _, c := range codings {
		if body, err := fs.ReadFile(built, name+c.ending); err == nil {
			f.forms = append(f.forms, newForm(c.coding, body))
		}
	}
	body, err := fs.ReadFile(built, name)
	f.forms = append(f.forms, newForm("", body))
	return f, err
}

func newForm(coding string, body []byte) form {
	return form{coding, httpcache.ETag(body), body}
}

// Accepting returns the file in the best form that an Accept-Encoding allows
// (RFC 9110 section 12.5.3), with the form's Content-Encoding (empty: not
// compressed) and its strong ETag.
func (f *File) Accepting(accept string) (coding, etag string, body []byte) {
	best := f.forms[len(f.forms)-1]
	for _, form := range f.forms {
		if accepts(accept, form.coding) {
			best = form
			break
		}
	}
	return best.coding, best.etag, best.body
}

// accepts reports whether an Accept-Encoding names a coding with a weight other
// than 0. It ignores "*".
func accepts(accept, coding string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		name, weight, _ := strings.Cut(one, ";")
		if strings.EqualFold(strings.TrimSpace(name), coding) && coding != "" {
			weight, _ = strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
			return strings.Trim(weight, "0.") != "" || weight == ""
		}
	}
	return false
}
