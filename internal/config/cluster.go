package config

import "trackway/internal/config/membership"

func (d *doc) checkCluster() {
	d.file.Cluster.Check(membership.Reporter{
		Given: d.given, Report: d.report, Missing: d.missing, Address: d.CheckListen, Name: d.CheckName,
		Secret: func(name string, text, env, file *hidden) string {
			return d.credential(forms{name, text, nil, env, file})
		},
	})
}

// checkShared refuses shared limits of a server that stands alone.
func (d *doc) checkShared() {
	for i := range d.file.Limits {
		if p := &d.file.Limits[i]; p.Shared && !d.file.Cluster.Member() {
			d.report(&p.Shared, "needs a cluster: a server that stands alone counts all calls itself")
		}
	}
}
