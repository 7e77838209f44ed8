package config

import "trackway/internal/config/membership"

func (d *doc) checkCluster() {
	d.file.Cluster.Check(membership.Reporter{
		Given: d.given, Report: d.report, Missing: d.missing, Address: d.checkListen, Name: d.checkName,
	})
}
