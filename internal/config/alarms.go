package config

import "trackway/internal/config/alarming"

// alarms checks and translates the section.
func (d *doc) alarms() alarming.Alarms {
	r := alarming.Reporter[hidden]{
		Given: d.given, Report: d.report, Missing: d.missing, Name: d.CheckName,
		Absolute: func(path *string) string { return d.absolute(path, *path) },
		Secret: func(name string, text, env, file *hidden) string {
			return d.credential(forms{name, text, nil, env, file})
		},
	}
	for i := range d.file.Projects {
		r.Projects = append(r.Projects, d.file.Projects[i].Name)
	}
	for i := range d.file.Destinations {
		r.Destinations = append(r.Destinations, d.file.Destinations[i].Name)
	}
	for i := range d.file.Limits {
		r.Policies = append(r.Policies, d.file.Limits[i].Name)
	}
	return d.file.Alarms.Check(r)
}
