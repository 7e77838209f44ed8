package config

import "trackway/internal/config/membership"

func (d *doc) checkCluster() {
	d.file.Cluster.Check(membership.Reporter{
		Given: d.given, Report: d.report, Missing: d.missing, Address: d.checkListen, Name: d.checkName,
	})
}

// checkAlone refuses what only a server that stands alone can do so far, and
// what it cannot do.
func (d *doc) checkAlone() {
	for i := range d.file.Limits {
		if p := &d.file.Limits[i]; p.Shared && !d.file.Cluster.Member() {
			d.report(&p.Shared, "needs a cluster: a server that stands alone counts all calls itself")
		}
	}
	if d.file.Cluster.Member() && len(d.file.Config.Destinations) > 0 {
		d.report(&d.file.Destinations, "cannot be sent to by a member of a cluster yet")
	}
}
