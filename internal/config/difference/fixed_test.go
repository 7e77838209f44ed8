package difference_test

import (
	"fmt"
	"net/netip"
	"testing"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/config/difference"
	"trackway/internal/config/transport"
)

func TestCheckFixed(t *testing.T) {
	t.Parallel()
	authority := transport.TLS{ACME: transport.ACME{Hosts: []string{"a.example.com"}}}
	old := &config.Config{Listen: ":1", TLS: authority}
	free := *old
	free.Server.Name, free.TrustedProxies, free.ClientIPHeader = "other", []netip.Prefix{{}}, "X-Real-IP"
	free.Policies, free.Projects = []trackway.Policy{{}}, []trackway.Project{{Name: "shop"}}
	free.Log.Level, free.Connections.Max = "warn", 9
	free.TLS.ACME.Hosts = []string{"a.example.com"} // read again
	if err := difference.CheckFixed(old, &free); err != nil {
		t.Errorf("what may change: got %v", err)
	}
	fixed := *old
	fixed.Listen, fixed.OpsListen, fixed.DataDir, fixed.ProxyProtocol = "a:1", "a:2", "a", true
	fixed.TLS.ACME.Hosts = []string{"a.example.com", "b.example.com"}
	fixed.Partitions = 2
	fixed.Memory.MaxMB, fixed.Log.Format, fixed.Cluster.Listen = 200, "json", "a:3"
	err := difference.CheckFixed(old, &fixed)
	if want := "only a restart can change listen, ops_listen, data_dir, partitions, tls, proxy_protocol, cluster, memory, log.format"; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
