package config

import "trackway/internal/config/document"

// doc is a configuration while it is being read.
type doc struct {
	*document.Doc
	surroundings

	variables map[string]string // those of the environment with our prefix
	asked     string            // the path of the operator's file, whether or not there is one
	path      string            // the same; empty if no file was read
	file      file
	managed   managed
	holders   []holder // the projects in their order, the server, then projects that only managed has keys of
}

// hidden is a text that no problem ever shows: a secret, or the token of a
// public key.
type hidden = document.Hidden

func newDoc(name string, from surroundings) *doc {
	return &doc{Doc: document.New(name), surroundings: from, variables: from.variables()}
}

func (d *doc) given(at any) bool                          { return d.Given(at) }
func (d *doc) good(at ...any) bool                        { return d.Good(at...) }
func (d *doc) report(at any, format string, args ...any)  { d.Report(at, format, args...) }
func (d *doc) missing(at any, format string, args ...any) { d.Missing(at, format, args...) }
func (d *doc) warn(at any, msg string)                    { d.Warn(at, msg) }
func (d *doc) conceal(at any)                             { d.Conceal(at) }

// unique reports a value that occurred before.
func unique[T ~string](d *doc, seen map[string]any, at *T) { document.Unique(d.Doc, seen, at) }
