package config

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"trackway/internal/config/document"
	"trackway/internal/config/scalar"
	"trackway/internal/config/setting"
)

// TextVariable is the environment variable for the text of a whole
// configuration, which replaces the operator's file. As a path, this name
// stands for that text.
const TextVariable = setting.Prefix + "YAML"

// otherVariables are those that do not give a setting: the commands read them.
var otherVariables = []string{TextVariable, setting.Prefix + "CONFIG", setting.Prefix + "SECRET"}

// projectsVariable gives the only setting that is required. If it is set, the
// operator's file may be missing.
const projectsVariable = setting.Prefix + "PROJECTS"

// variables returns the variables with our prefix that are not empty.
func (s surroundings) variables() map[string]string {
	all := make(map[string]string)
	for _, v := range s.environ() {
		if name, value, _ := strings.Cut(v, "="); value != "" && strings.HasPrefix(name, setting.Prefix) {
			all[name] = value
		}
	}
	return all
}

// source returns the text of the operator's file, or what replaces it.
func (d *doc) source(path string) ([]byte, error) {
	if text := d.variables[TextVariable]; text != "" && path == TextVariable {
		return []byte(text), nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && d.variables[projectsVariable] != "" {
		d.Name = "environment"
		return []byte("{}"), nil
	}
	d.path = path
	return text, err
}

// applyVariables reads the settings that environment variables give. A setting
// replaces that of the file as a whole, even if it is a list.
func (d *doc) applyVariables() {
	for _, s := range setting.All(reflect.ValueOf(&d.file).Elem()) {
		text := d.variables[s.Variable]
		if text == "" {
			continue
		}
		for _, section := range s.Sections {
			if at := section.Value.Addr().Interface(); !d.given(at) {
				d.Places[at] = document.Place{File: s.Variable, Field: section.Path}
			}
		}
		maps.DeleteFunc(d.Places, func(_ any, p document.Place) bool { return p.Field == s.Path || strings.HasPrefix(p.Field, s.Path+"[") })
		v := d.Part(s.Variable)
		if at := s.Value.Addr().Interface(); scalar.Is(s.Value.Type()) {
			v.ReadText(text, s.Value, s.Path)
		} else if v.Read([]byte(text), at, s.Path); !v.Given(at) { // it is not YAML, or only white space and comments
			p := document.Place{File: s.Variable, Field: s.Path, Bad: true}
			if d.Places[at] = p; len(v.Problems) == 0 {
				v.Problems = append(v.Problems, p.Problem("has no value: unset the variable, or give it one"))
			}
		}
		d.Problems = append(d.Problems, v.Problems...)
	}
}

// warnOfUnknown warns of variables that look like ours but have no effect. They
// are not refused: others may set variables that begin with the name of a
// server.
func (d *doc) warnOfUnknown() {
	known := slices.Clone(otherVariables)
	for _, s := range setting.All(reflect.ValueOf(&d.file).Elem()) {
		known = append(known, s.Variable)
	}
	for at, p := range d.Places {
		if name, ok := at.(*hidden); ok && strings.HasSuffix(p.Field, "_env") {
			known = append(known, string(*name))
		}
	}
	slices.Sort(known)
	for name, value := range d.variables {
		meant, unknown := setting.Unknown(name, value, known)
		if !unknown {
			continue
		}
		msg := "is a variable that has no effect"
		if meant != "" {
			msg += ": did you mean " + meant + "?"
		}
		d.Warnings = append(d.Warnings, Problem{File: name, Msg: msg})
	}
}
