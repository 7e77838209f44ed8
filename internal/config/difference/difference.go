// Package difference names what differs between two configurations, for the
// audit log. It never tells a value: an address, a secret or a role stays where
// it is.
package difference

import (
	"reflect"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/contract"
	"trackway/internal/people"
)

// Of names the settings that differ, as the configuration spells them, and the
// projects, keys, contracts, limits, destinations and users that were added
// (+), removed (-) or changed.
func Of(old, next *config.Config) []string {
	var list []string
	add := func(name string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			list = append(list, name)
		}
	}
	a, b := reflect.ValueOf(*old), reflect.ValueOf(*next)
	for i := range a.NumField() {
		if key := a.Type().Field(i).Tag.Get("yaml"); key != "" && key != "cluster" { // a cluster never changes
			add(key, a.Field(i).Interface(), b.Field(i).Interface())
		}
	}
	add("dashboard.password", old.Password, next.Password)
	add("dashboard.oidc", old.Provider, next.Provider)
	add("traffic", old.Traffic, next.Traffic)
	add("traces", old.Traces, next.Traces)
	add("alarms", old.Alarms, next.Alarms)
	list = append(list, named("project ", old.Projects, next.Projects, projectOf)...)
	list = append(list, named("key ", keysOf(old), keysOf(next), keyOf)...)
	list = append(list, named("contract ", contractsOf(old), contractsOf(next), contractOf)...)
	list = append(list, named("limit ", old.Policies, next.Policies, policyOf)...)
	add("overrides", old.Overrides, next.Overrides)
	list = append(list, named("destination ", old.Destinations, next.Destinations, destinationOf)...)
	return append(list, Users(old.Users, next.Users)...)
}

// Users names the users that differ.
func Users(old, next people.List) []string {
	return named("user ", old, next, func(u people.User) (string, any) { return u.Name, u })
}

// named names the things of two lists that differ. Each has a name and a value.
func named[T any](what string, old, next []T, of func(T) (string, any)) (list []string) {
	before := make(map[string]any)
	for _, thing := range old {
		name, value := of(thing)
		before[name] = value
	}
	for _, thing := range next {
		name, value := of(thing)
		was, known := before[name]
		switch {
		case !known:
			list = append(list, "+"+what+name)
		case !reflect.DeepEqual(was, value):
			list = append(list, what+name)
		}
		delete(before, name)
	}
	for _, thing := range old {
		if name, _ := of(thing); before[name] != nil {
			list = append(list, "-"+what+name)
		}
	}
	return list
}

// projectOf returns a project without its keys: they are things of their own.
func projectOf(p trackway.Project) (name string, value any) {
	p.Keys = nil
	return p.Name, p
}

// namedKey is a key with the name of its project.
type namedKey struct {
	trackway.Key

	project string
}

func keysOf(c *config.Config) (list []namedKey) {
	for i := range c.Projects {
		for j := range c.Projects[i].Keys {
			list = append(list, namedKey{c.Projects[i].Keys[j], c.Projects[i].Name})
		}
	}
	for _, k := range c.AdminKeys {
		list = append(list, namedKey{k, config.ServerKeys})
	}
	return list
}

func keyOf(k namedKey) (name string, value any) { return k.Name + " of " + k.project, k.Key }

// placedContract is a contract with the name of its project.
type placedContract struct {
	contract.Contract

	project string
}

func contractsOf(c *config.Config) (list []placedContract) {
	for i := range c.Projects {
		for _, k := range c.Contracts[c.Projects[i].Token] {
			list = append(list, placedContract{k, c.Projects[i].Name})
		}
	}
	return list
}

func contractOf(c placedContract) (name string, value any) {
	return c.Type + " of " + c.project, c.Contract
}

func policyOf(p trackway.Policy) (name string, value any) { return p.Name, p }

func destinationOf(d config.Destination) (name string, value any) { return d.Name, d }
