// Package setting finds the settings of a configuration in its structs, whose
// yaml tags have their keys.
package setting

import (
	"reflect"
	"slices"
	"strings"

	"trackway/internal/config/scalar"
)

// Field is a field of a struct that has a key.
type Field struct {
	Key   string
	Value reflect.Value
}

// Fields returns the fields of a struct that have a key, in order, including
// those of inline structs.
func Fields(v reflect.Value) []Field {
	var fields []Field
	for f, value := range v.Fields() {
		switch key := f.Tag.Get("yaml"); key {
		case "":
		case ",inline":
			fields = append(fields, Fields(value)...)
		default:
			fields = append(fields, Field{key, value})
		}
	}
	return fields
}

// Keys returns the keys of some fields as a list in a sentence.
func Keys(fields []Field) string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.Key
	}
	return strings.Join(keys, ", ")
}

// Join returns the path of a key in the section at a path, such as server.url.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Setting is a value or a list outside of other lists. It can be given by an
// environment variable.
type Setting struct {
	Path     string // such as server.url
	Variable string // such as TRACKWAY_SERVER_URL
	Value    reflect.Value
	Sections []Section // around it, from the outside
}

// Section is a struct that holds settings.
type Section struct {
	Path  string
	Value reflect.Value
}

// Prefix begins the names of our environment variables.
const Prefix = "TRACKWAY_"

// All returns the settings in a struct.
func All(v reflect.Value) []Setting { return within(v, nil, "") }

func within(v reflect.Value, sections []Section, path string) []Setting {
	var all []Setting
	for _, f := range Fields(v) {
		at := Join(path, f.Key)
		if f.Value.Kind() == reflect.Struct && !scalar.Is(f.Value.Type()) {
			all = append(all, within(f.Value, append(slices.Clip(sections), Section{at, f.Value}), at)...)
			continue
		}
		all = append(all, Setting{at, variable(at), f.Value, sections})
	}
	return all
}

// variable returns the name of the environment variable for the setting at a
// path.
func variable(path string) string {
	if path == "data_dir" {
		path = "data" // as its flag is called
	}
	return Prefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}
