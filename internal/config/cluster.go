package config

import "trackway/internal/config/membership"

func (d *doc) checkCluster() {
	d.file.Cluster.Check(membership.Reporter{
		Given: d.given, Report: d.report, Missing: d.missing, Address: d.checkListen, Name: d.checkName,
	})
}

// checkAlone refuses what only a server that stands alone can do so far.
func (d *doc) checkAlone() {
	if d.file.Cluster.Member() && len(d.file.Config.Destinations) > 0 {
		d.report(&d.file.Destinations, "cannot be sent to by a member of a cluster yet")
	}
}
