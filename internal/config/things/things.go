// Package things knows the projects, limits, overrides and destinations of a
// configuration as things that can be listed, and changed by their names.
package things

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"trackway"
	"trackway/internal/config/document"
	"trackway/internal/config/initial"
	"trackway/internal/config/owned"
	"trackway/internal/config/problem"
	"trackway/internal/config/scalar"
	"trackway/internal/config/setting"
)

// The kinds of things that the managed file may have besides keys and users.
// They are called like the lists of the configuration.
const (
	Projects     = "projects"
	Limits       = "limits"
	Overrides    = "overrides"
	Destinations = "destinations"
)

// Kinds returns the kinds of things.
func Kinds() []string { return []string{Projects, Limits, Overrides, Destinations} }

// Thing is a project, a limit, an override or a destination, in force or not.
type Thing struct {
	Name     string
	Managed  bool           // it is in the managed file, so it may be changed
	Place    string         // where it is written; empty: it is a default
	Secrets  []string       // names of settings that are given, and never shown
	Settings map[string]any // as they are written, without secrets
	Whole    string         // the same with secrets: it changes whenever the thing does. Never show it
}

// NameIn returns the name of the thing in a section.
func NameIn(section reflect.Value) string {
	for _, f := range setting.Fields(section) {
		if f.Key == "name" {
			return f.Value.String()
		}
	}
	return ""
}

// ListOf returns the list of a kind in one of the files, whose address
// is given.
func ListOf(f any, kind string) reflect.Value {
	for _, x := range setting.Fields(reflect.ValueOf(f).Elem()) {
		if x.Key == kind {
			return x.Value
		}
	}
	panic("bug: there are no " + kind)
}

// Of returns the thing in a section. managed is the path of the managed file.
func Of(d *document.Doc, section reflect.Value, managed string) Thing {
	t := Thing{Name: NameIn(section)}
	p, given := d.Places[section.Addr().Interface()]
	if given {
		t.Managed, t.Place, t.Whole = p.File == managed, p.File, p.File+owned.Flow(owned.Plain(p.Node))
		if p.Line > 0 {
			t.Place = fmt.Sprintf("%s:%d", p.File, p.Line)
		}
	}
	t.Settings, _ = shown(d, section, !given, &t.Secrets).(map[string]any)
	if !given {
		t.Whole = owned.Flow(t.Settings)
	}
	delete(t.Settings, "name")
	delete(t.Settings, "keys") // they are listed elsewhere
	return t
}

// shown returns a value as it is written, or all of a default, and adds the
// names of the secrets in it to a list.
func shown(d *document.Doc, v reflect.Value, all bool, secrets *[]string) any {
	p, given := d.Places[v.Addr().Interface()]
	_, own := reflect.TypeAssert[document.Decoder](v.Addr())
	switch {
	case given && (own || scalar.Is(v.Type())):
		return owned.Plain(p.Node)
	case scalar.Is(v.Type()):
		return plain(v)
	case v.Kind() == reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = shown(d, v.Index(i), all, secrets)
		}
		return list
	}
	m := make(map[string]any)
	for _, f := range setting.Fields(v) {
		switch at := f.Value.Addr().Interface().(type) {
		case *document.Hidden:
			if *at != "" {
				*secrets = append(*secrets, f.Key)
			}
		default:
			if d.Given(at) || all && !f.Value.IsZero() {
				m[f.Key] = shown(d, f.Value, all, secrets)
			}
		}
	}
	return m
}

// plain returns a single value of a default in the form in which it is written.
func plain(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case bool:
		return x
	case uint32:
		return json.Number(strconv.FormatUint(uint64(x), 10))
	case time.Duration:
		return x.String()
	}
	return fmt.Sprint(v.Interface())
}

// Conflict says where a thing is that the program may not change.
func (t *Thing) Conflict(kind string) error {
	msg := fmt.Sprintf("%s is in %s, which the program never changes. Remove it there first.", t.Name, t.Place)
	if t.Place == "" {
		msg = t.Name + " is a default, which cannot be removed. Replace it instead."
	}
	return &trackway.Error{Code: trackway.Conflict, Field: kind, Msg: msg}
}

// Prepare checks the settings of a thing that somebody elsewhere sends, and
// completes them. old is the thing that they replace, or nil. They must not
// name a file or a variable of the server: a caller could read those by that.
func Prepare(kind, name string, old *Thing, settings map[string]any) error {
	if old != nil && !old.Managed && old.Place != "" {
		return old.Conflict(kind)
	}
	if given, ok := settings["name"]; ok && given != name {
		return wrong("name", "must be the name in the path, or be left out")
	}
	const most = 64
	if name == "" || len(name) > most || strings.ContainsFunc(name, func(c rune) bool { return !scalar.IsNameRune(c) }) {
		return wrong("name", fmt.Sprintf("must have 1 to %d letters, digits, '-', '_' and '.'", most))
	}
	for key := range settings {
		if strings.HasSuffix(key, "_env") || strings.HasSuffix(key, "_file") {
			return wrong(key, "names a file or a variable of the server: only the operator's file may do that")
		}
	}
	if kind == Destinations && settings["kind"] == "file" {
		return wrong("kind", "must not be file, which writes to the server's disk: only the operator's file may do that")
	}
	if where, _ := settings["url"].(string); kind == Destinations {
		if name := fileIn(settings["kind"], where); name != "" {
			return wrong("url", "must not have "+name+", which names a file of the server: only the operator's file may do that")
		}
	}
	settings["name"] = name
	if kind == Projects {
		return keepToken(old, settings)
	}
	return nil
}

// fileParameters are the parameters of a connection to PostgreSQL that name a
// file of the server, or a part of one.
var fileParameters = []string{"passfile", "service", "servicefile", "sslcert", "sslkey", "sslrootcert"}

// fileParameter matches them among parameters that are written NAME=VALUE.
var fileParameter = regexp.MustCompile(`\b(` + strings.Join(fileParameters, "|") + `)[\s\v]*=`)

// fileIn returns the parameter that names a file in the URL of a destination of
// a kind, or an empty text. The server would read the file, however long it is,
// and send a password in it to a host that the caller chooses.
func fileIn(kind any, where string) string {
	switch kind {
	case "kafka":
		_, text, _ := strings.Cut(where, "?")
		if query, _ := url.ParseQuery(text); query.Has("ca") {
			return "ca"
		}
	case "postgres":
		// Only this is a URL for the driver.
		if strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://") {
			if u, err := url.Parse(where); err == nil {
				where = strings.Join(slices.Sorted(maps.Keys(u.Query())), "= ") + "="
			}
		}
		return strings.TrimRight(fileParameter.FindString(where), "= \t\n\v\f\r")
	}
	return ""
}

func wrong(field, msg string) error { return problem.InvalidError{{Field: field, Msg: msg}} }

// keepToken gives a project the token that it has, or a new one.
func keepToken(old *Thing, settings map[string]any) error {
	if old == nil {
		if _, given := settings["token"]; !given {
			settings["token"] = initial.NewUUID()
		}
		return nil
	}
	has, _ := old.Settings["token"].(string)
	given, isText := settings["token"].(string)
	if _, ok := settings["token"]; ok && (!isText || !strings.EqualFold(given, has)) {
		return &trackway.Error{Code: trackway.Conflict, Field: "token", Msg: "The token of a project cannot change, because its data belongs to it. Make another project instead."}
	}
	settings["token"] = has
	return nil
}
