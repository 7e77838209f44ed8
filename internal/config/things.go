package config

import (
	"slices"
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/config/document"
	"trackway/internal/config/owned"
	"trackway/internal/config/scalar"
	"trackway/internal/config/things"
)

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
	for _, kind := range things.Kinds() {
		list := things.ListOf(m, kind)
		for i := range list.Len() {
			t, _ := owned.Plain(d.Places[list.Index(i).Addr().Interface()].Node).(map[string]any)
			m.things[kind] = append(m.things[kind], t)
		}
	}
	document.Join(d.Doc, &f.Projects, m.Projects, path, things.Projects)
	document.Join(d.Doc, &f.Limits, m.Limits, path, things.Limits)
	document.Join(d.Doc, &f.Overrides, m.Overrides, path, things.Overrides)
	document.Join(d.Doc, &f.Destinations, m.Destinations, path, things.Destinations)
}

// Things returns all things of a kind, those of the operator's file first.
func (k *Keys) Things(kind string) []things.Thing {
	list := things.ListOf(&k.doc.file, kind)
	all := make([]things.Thing, list.Len())
	for i := range all {
		all[i] = things.Of(k.doc.Doc, list.Index(i), k.ManagedPath())
	}
	return all
}

// Thing returns the thing of a kind and a name, or nil.
func (k *Keys) Thing(kind, name string) *things.Thing {
	for _, t := range k.Things(kind) {
		if t.Name == name && name != "" {
			return &t
		}
	}
	return nil
}

// named returns a field of a thing with the thing's name, such as
// limits.track.window, in place of its index.
func (d *doc) named(field string) string {
	kind, rest, _ := strings.Cut(field, "[")
	index, rest, ok := strings.Cut(rest, "]")
	i, err := strconv.Atoi(index)
	if !ok || err != nil || !slices.Contains(things.Kinds(), kind) || i >= things.ListOf(&d.file, kind).Len() {
		return field
	}
	return kind + "." + things.NameIn(things.ListOf(&d.file, kind).Index(i)) + rest
}

// Put makes a thing, or replaces the one of its kind and name as a whole. It
// reports whether this changes anything. Settings are written as in the
// operator's file. A project without a token keeps its own, or gets a random
// one.
func (k *Keys) Put(kind, name string, settings map[string]any) (changes bool, err error) {
	old := k.Thing(kind, name)
	if err := things.Prepare(kind, name, old, settings); err != nil {
		return false, err
	}
	if old != nil && old.Managed && old.Whole == k.ManagedPath()+owned.Flow(settings) {
		return false, nil
	}
	list := k.without(kind, name)
	k.doc.managed.things[kind] = append(list, settings)
	return true, nil
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
		return old.Conflict(kind)
	}
	if m := &k.doc.managed; kind == things.Projects {
		token, _ := old.Settings["token"].(string)
		m.Keys = slices.DeleteFunc(slices.Clone(m.Keys), func(x managedKey) bool { return strings.EqualFold(x.Project, token) })
	}
	k.doc.managed.things[kind] = k.without(kind, name)
	return nil
}
