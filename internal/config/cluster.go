package config

import (
	"net"
	"net/netip"
	"slices"
	"time"
)

// Cluster makes this server a member of a cluster: several servers that keep
// one log. Without a listener, the server stands alone.
type Cluster struct {
	Log       string        `yaml:"log"`       // raft
	Name      string        `yaml:"name"`      // the same on all servers
	Listen    string        `yaml:"listen"`    // host:port for the other servers
	Advertise string        `yaml:"advertise"` // host:port at which they reach this one
	Peers     []string      `yaml:"peers"`     // host:port of servers that a new one asks
	TLS       ClusterTLS    `yaml:"tls"`
	Heartbeat time.Duration `yaml:"heartbeat"` // without one for so long, a server wants to lead
}

// ClusterTLS names the PEM files for connections between servers: the
// certificates of the cluster's authority, and this server's own. All are
// empty on the loopback interface.
type ClusterTLS struct {
	CA   string `yaml:"ca"`
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Member reports whether the server is a member of a cluster.
func (c *Cluster) Member() bool { return c.Listen != "" }

// equal reports whether two clusters are configured in the same way.
func (c *Cluster) equal(other *Cluster) bool {
	return c.Log == other.Log && c.Name == other.Name && c.Listen == other.Listen && c.Advertise == other.Advertise &&
		slices.Equal(c.Peers, other.Peers) && c.TLS == other.TLS && c.Heartbeat == other.Heartbeat
}

// Bounds of a heartbeat. Below the lowest, a server that is merely busy loses
// its leadership.
const (
	usualHeartbeat = 2 * time.Second
	leastHeartbeat = 500 * time.Millisecond
	mostHeartbeat  = 10 * time.Second
)

func (d *doc) checkCluster() {
	c := &d.file.Cluster
	if !c.Member() {
		for _, at := range []any{&c.Log, &c.Name, &c.Listen, &c.Advertise, &c.Peers, &c.TLS, &c.Heartbeat} {
			if d.given(at) {
				d.missing(c, "needs listen, the host:port for the other servers")
				return
			}
		}
		return
	}
	if !d.given(&c.Log) {
		c.Log = "raft"
	}
	if !d.given(&c.Heartbeat) {
		c.Heartbeat = usualHeartbeat
	}
	oneOf(d, &c.Log, "raft")
	d.checkName(&c.Name, c, "cluster")
	d.checkListen(&c.Listen)
	if c.Advertise == "" {
		c.Advertise = c.Listen
	} else {
		d.checkListen(&c.Advertise)
	}
	if host, _, err := net.SplitHostPort(c.Advertise); err == nil && isEverywhere(host) {
		d.missing(c, "needs advertise, the host:port at which the other servers reach this one")
	}
	for i := range c.Peers {
		d.checkListen(&c.Peers[i])
	}
	if c.Heartbeat < leastHeartbeat || c.Heartbeat > mostHeartbeat {
		d.report(&c.Heartbeat, "must lie between %v and %v", leastHeartbeat, mostHeartbeat)
	}
	d.checkClusterTLS(c)
}

// checkClusterTLS refuses plain text beyond the loopback interface, since
// anyone who reaches the port could change all data.
func (d *doc) checkClusterTLS(c *Cluster) {
	given := 0
	for _, file := range []string{c.TLS.CA, c.TLS.Cert, c.TLS.Key} {
		if file != "" {
			given++
		}
	}
	switch given {
	case 3:
		return
	case 0:
	default:
		d.report(&c.TLS, "needs ca, cert and key, or none of them")
		return
	}
	for _, address := range append([]string{c.Listen, c.Advertise}, c.Peers...) {
		host, _, err := net.SplitHostPort(address)
		if ip, wrong := netip.ParseAddr(host); err == nil && (wrong != nil || !ip.IsLoopback()) {
			d.missing(c, "needs tls: {ca, cert, key}, because %s is not an address of the loopback interface, such as 127.0.0.1", host)
			return
		}
	}
}

// isEverywhere reports whether a host stands for all addresses of the machine.
func isEverywhere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// checkAlone refuses what only a server that stands alone can do so far.
func (d *doc) checkAlone() {
	if d.file.Cluster.Member() && len(d.file.Config.Destinations) > 0 {
		d.report(&d.file.Destinations, "cannot be sent to by a member of a cluster yet")
	}
}
