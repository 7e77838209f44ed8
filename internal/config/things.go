package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"trackway"
	"trackway/internal/config/document"
	"trackway/internal/config/initial"
	"trackway/internal/config/owned"
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

// adopt checks what only the managed file has, and appends its things to the
// lists of the operator's file. A limit replaces a default one of its name.
func (d *doc) adopt() {
	f, m, path := &d.file, &d.managed, d.file.ManagedPath()
	for i := range m.Projects {
		if at := &m.Projects[i].Keys; d.given(at) {
			d.report(at, "must not be here: the keys of all projects are listed under keys")
		}
	}
	for i := range m.Overrides {
		if o := &m.Overrides[i]; !d.given(&o.Name) {
			d.missing(o, "needs a name, by which it can be changed")
		}
	}
	f.Limits = slices.DeleteFunc(f.Limits, func(p policy) bool {
		return !d.given(&f.Limits) && slices.ContainsFunc(m.Limits, func(o policy) bool { return o.Name == p.Name })
	})
	m.things = make(map[string][]map[string]any)
	for _, kind := range Kinds() {
		list := listOf(m, kind)
		for i := range list.Len() {
			t, _ := owned.Plain(d.Places[list.Index(i).Addr().Interface()].Node).(map[string]any)
			m.things[kind] = append(m.things[kind], t)
		}
	}
	document.Join(d.Doc, &f.Projects, m.Projects, path, Projects)
	document.Join(d.Doc, &f.Limits, m.Limits, path, Limits)
	document.Join(d.Doc, &f.Overrides, m.Overrides, path, Overrides)
	document.Join(d.Doc, &f.Destinations, m.Destinations, path, Destinations)
}

// listOf returns the list of a kind in one of the files.
func listOf[F file | managed](f *F, kind string) reflect.Value {
	for _, x := range setting.Fields(reflect.ValueOf(f).Elem()) {
		if x.Key == kind {
			return x.Value
		}
	}
	panic("bug: there are no " + kind)
}

// nameIn returns the name of the thing in a section.
func nameIn(section reflect.Value) string {
	for _, f := range setting.Fields(section) {
		if f.Key == "name" {
			return f.Value.String()
		}
	}
	return ""
}

// Things returns all things of a kind, those of the operator's file first.
func (k *Keys) Things(kind string) []Thing {
	list := listOf(&k.doc.file, kind)
	all := make([]Thing, list.Len())
	for i := range all {
		all[i] = k.doc.thing(list.Index(i))
	}
	return all
}

// Thing returns the thing of a kind and a name, or nil.
func (k *Keys) Thing(kind, name string) *Thing {
	for _, t := range k.Things(kind) {
		if t.Name == name && name != "" {
			return &t
		}
	}
	return nil
}

// thing returns the thing in a section.
func (d *doc) thing(section reflect.Value) Thing {
	t := Thing{Name: nameIn(section)}
	p, given := d.Places[section.Addr().Interface()]
	if given {
		t.Managed, t.Place, t.Whole = p.File == d.file.ManagedPath(), p.File, p.File+owned.Flow(owned.Plain(p.Node))
		if p.Line > 0 {
			t.Place = fmt.Sprintf("%s:%d", p.File, p.Line)
		}
	}
	t.Settings, _ = d.shown(section, !given, &t.Secrets).(map[string]any)
	if !given {
		t.Whole = owned.Flow(t.Settings)
	}
	delete(t.Settings, "name")
	delete(t.Settings, "keys")
	return t
}

// shown returns a value as it is written, or all of a default, and adds the
// names of the secrets in it to a list.
func (d *doc) shown(v reflect.Value, all bool, secrets *[]string) any {
	p, given := d.Places[v.Addr().Interface()]
	_, own := v.Addr().Interface().(document.Decoder)
	switch {
	case given && (own || scalar.Is(v.Type())):
		return owned.Plain(p.Node)
	case scalar.Is(v.Type()):
		return plain(v)
	case v.Kind() == reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = d.shown(v.Index(i), all, secrets)
		}
		return list
	}
	m := make(map[string]any)
	for _, f := range setting.Fields(v) {
		switch at := f.Value.Addr().Interface().(type) {
		case *hidden:
			if *at != "" {
				*secrets = append(*secrets, f.Key)
			}
		case *[]key: // they are listed elsewhere
		default:
			if d.given(at) || all && !f.Value.IsZero() {
				m[f.Key] = d.shown(f.Value, all, secrets)
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
		return json.Number(fmt.Sprint(x))
	case time.Duration:
		return x.String()
	}
	return fmt.Sprint(v.Interface())
}

// named returns a field of a thing with the thing's name, such as
// limits.track.window, in place of its index.
func (d *doc) named(field string) string {
	kind, rest, _ := strings.Cut(field, "[")
	index, rest, ok := strings.Cut(rest, "]")
	i, err := strconv.Atoi(index)
	if !ok || err != nil || !slices.Contains(Kinds(), kind) || i >= listOf(&d.file, kind).Len() {
		return field
	}
	return kind + "." + nameIn(listOf(&d.file, kind).Index(i)) + rest
}

// conflict says where a thing is that the program may not change.
func (t *Thing) conflict(kind string) error {
	msg := fmt.Sprintf("%s is in %s, which the program never changes. Remove it there first.", t.Name, t.Place)
	if t.Place == "" {
		msg = t.Name + " is a default, which cannot be removed. Replace it instead."
	}
	return &trackway.Error{Code: trackway.Conflict, Field: kind, Msg: msg}
}

// Put makes a thing, or replaces the one of its kind and name as a whole.
// Settings are written as in the operator's file. A project without a token
// keeps its own, or gets a random one. The thing must not name a file or a
// variable of the server: whoever calls from elsewhere could read them by that.
func (k *Keys) Put(kind, name string, settings map[string]any) error {
	old := k.Thing(kind, name)
	if old != nil && !old.Managed && old.Place != "" {
		return old.conflict(kind)
	}
	if given, ok := settings["name"]; ok && given != name {
		return InvalidError{{Field: "name", Msg: "must be the name in the path, or be left out"}}
	}
	if !isName(name) {
		return InvalidError{{Field: "name", Msg: fmt.Sprintf("must have 1 to %d letters, digits, '-', '_' and '.'", maxName)}}
	}
	for key := range settings {
		if strings.HasSuffix(key, "_env") || strings.HasSuffix(key, "_file") {
			return InvalidError{{Field: key, Msg: "names a file or a variable of the server: only the operator's file may do that"}}
		}
	}
	if kind == Destinations && settings["kind"] == File {
		return InvalidError{{Field: "kind", Msg: "must not be file, which writes to the server's disk: only the operator's file may do that"}}
	}
	if kind == Projects {
		if err := keepToken(old, settings); err != nil {
			return err
		}
	}
	settings["name"] = name
	list := k.without(kind, name)
	k.doc.managed.things[kind] = append(list, settings)
	return nil
}

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

// without returns a copy of the managed things of a kind without one.
func (k *Keys) without(kind, name string) []map[string]any {
	return slices.DeleteFunc(slices.Clone(k.doc.managed.things[kind]), func(t map[string]any) bool { return t["name"] == name })
}

// Delete removes a thing. The keys of a project go with it; its data stays.
func (k *Keys) Delete(kind, name string) error {
	old := k.Thing(kind, name)
	switch {
	case old == nil:
		return &trackway.Error{Code: trackway.NotFound, Field: kind, Msg: "There is no such thing: " + scalar.Quoted(name) + "."}
	case !old.Managed:
		return old.conflict(kind)
	}
	if m := &k.doc.managed; kind == Projects {
		token, _ := old.Settings["token"].(string)
		m.Keys = slices.DeleteFunc(slices.Clone(m.Keys), func(x managedKey) bool { return strings.EqualFold(x.Project, token) })
	}
	k.doc.managed.things[kind] = k.without(kind, name)
	return nil
}
