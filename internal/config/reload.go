package config

import (
	"fmt"
	"reflect"
	"strings"
)

// CheckReload returns an error that names each setting that differs between the configuration in force and the next one
// and cannot change while the server runs.
func CheckReload(old, next *Config) error {
	var changed []string
	before, after := reflect.ValueOf(old).Elem(), reflect.ValueOf(next).Elem()
	for f, value := range before.Fields() {
		if f.Tag.Get("fixed") == "true" && !reflect.DeepEqual(value.Interface(), after.FieldByIndex(f.Index).Interface()) {
			changed = append(changed, f.Tag.Get("yaml"))
		}
	}
	if len(changed) > 0 {
		return fmt.Errorf("only a restart can change %s", strings.Join(changed, ", "))
	}
	return nil
}
