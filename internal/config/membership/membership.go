// Package membership is the section of the configuration that makes a server a
// member of a cluster.
package membership

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"trackway/internal/config/document"
	"trackway/internal/config/scalar"
)

// Cluster makes this server a member of a cluster: several servers that keep
// one log. Without a listener, the server stands alone.
type Cluster struct {
	Log       string        `yaml:"log"`       // Raft or OverKafka
	Name      string        `yaml:"name"`      // the same on all servers
	Listen    string        `yaml:"listen"`    // host:port for the other servers
	Advertise string        `yaml:"advertise"` // host:port at which they reach this one
	Peers     []string      `yaml:"peers"`     // host:port of servers that a new one asks
	TLS       TLS           `yaml:"tls"`
	Heartbeat time.Duration `yaml:"heartbeat"` // a server that gets none for this long starts an election

	MaxClockSkew time.Duration `yaml:"max_clock_skew"` // a server whose clock is off by more takes no commands
	Reserve      scalar.Space  `yaml:"reserve"`        // a server with less room on its disk stores nothing; 0: none

	Copies uint32 `yaml:"copies"` // servers that hold a partition, if there are so many; the first one is on all

	Kafka Kafka `yaml:"kafka"` // where the log is, with OverKafka
}

// The kinds of log.
const (
	Raft      = "raft"  // the servers keep it
	OverKafka = "kafka" // brokers of Kafka keep it
)

// Kafka says where a log is that brokers keep.
type Kafka struct {
	Topic string `yaml:"topic"`
	User  string `yaml:"user"` // if it is not in the URL

	URLText      document.Hidden `yaml:"url"`
	URLEnv       document.Hidden `yaml:"url_env"` // hidden, as the names below: someone may write a secret here
	URLFile      document.Hidden `yaml:"url_file"`
	PasswordText document.Hidden `yaml:"password"`
	PasswordEnv  document.Hidden `yaml:"password_env"`
	PasswordFile document.Hidden `yaml:"password_file"`

	URL, Password string // from one of their forms
}

// TLS names the PEM files for connections between servers: the
// certificates of the cluster's authority, and this server's own. All are
// empty on the loopback interface.
type TLS struct {
	CA   string `yaml:"ca"`
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Member reports whether the server is a member of a cluster.
func (c *Cluster) Member() bool { return c.Listen != "" }

// Equal reports whether two clusters are configured in the same way.
func (c *Cluster) Equal(other *Cluster) bool {
	return c.Log == other.Log && c.Name == other.Name && c.Listen == other.Listen && c.Advertise == other.Advertise &&
		slices.Equal(c.Peers, other.Peers) && c.TLS == other.TLS && c.Heartbeat == other.Heartbeat &&
		c.MaxClockSkew == other.MaxClockSkew && c.Reserve == other.Reserve && c.Copies == other.Copies && c.Kafka == other.Kafka
}

// Bounds of a heartbeat. Below the lowest, a server that is merely busy loses
// its leadership.
const (
	usualHeartbeat = 2 * time.Second
	leastHeartbeat = 500 * time.Millisecond
	mostHeartbeat  = 10 * time.Second
)

// The other settings. Clocks that are compared over a network are never equal.
const (
	usualSkew    = 10 * time.Second
	leastSkew    = time.Second
	usualReserve = 1 << 30
	usualCopies  = 3
	leastCopies  = 3 // fewer survive the loss of no server
)

// Reporter checks values and reports problems with them, each by the address of
// a value.
type Reporter struct {
	Given           func(at any) bool                             // the configuration sets the value
	Report, Missing func(at any, format string, args ...any)      // a wrong value; what a section lacks
	Address         func(at *string)                              // checks host:port
	Name            func(name *string, section any, thing string) // checks a name that is required

	// returns a secret that one of three settings gives; empty: none of them
	Secret func(name string, text, env, file *document.Hidden) string
}

// Files returns the paths in the section.
func (c *Cluster) Files() []*string { return []*string{&c.TLS.CA, &c.TLS.Cert, &c.TLS.Key} }

// Check checks the section and completes it by what follows from its values.
func (c *Cluster) Check(d Reporter) {
	if !c.Member() {
		if slices.ContainsFunc([]any{&c.Log, &c.Name, &c.Listen, &c.Advertise, &c.Peers, &c.TLS, &c.Heartbeat, &c.MaxClockSkew, &c.Reserve, &c.Copies, &c.Kafka}, d.Given) {
			d.Missing(c, "needs listen, the host:port for the other servers")
		}
		return
	}
	if !d.Given(&c.Log) {
		c.Log = Raft
	}
	if !d.Given(&c.Heartbeat) {
		c.Heartbeat = usualHeartbeat
	}
	if !d.Given(&c.MaxClockSkew) {
		c.MaxClockSkew = usualSkew
	}
	if !d.Given(&c.Reserve) {
		c.Reserve = usualReserve
	}
	if !d.Given(&c.Copies) {
		c.Copies = usualCopies
	}
	if c.Copies < leastCopies {
		d.Report(&c.Copies, "must be at least %d: with fewer, nothing is stored once a server fails", leastCopies)
	}
	if c.MaxClockSkew < leastSkew {
		d.Report(&c.MaxClockSkew, "must be at least %v", leastSkew)
	}
	switch c.Log {
	case Raft:
		if d.Given(&c.Kafka) {
			d.Report(&c.Kafka, "is a setting of log: kafka")
		}
	case OverKafka:
		c.checkKafka(d)
	default:
		d.Report(&c.Log, "must be raft or kafka")
	}
	d.Name(&c.Name, c, "cluster")
	d.Address(&c.Listen)
	if c.Advertise == "" {
		c.Advertise = c.Listen
	} else {
		d.Address(&c.Advertise)
	}
	if host, _, err := net.SplitHostPort(c.Advertise); err == nil && isEverywhere(host) {
		d.Missing(c, "needs advertise, the host:port at which the other servers reach this one")
	}
	for i := range c.Peers {
		d.Address(&c.Peers[i])
	}
	if c.Heartbeat < leastHeartbeat || c.Heartbeat > mostHeartbeat {
		d.Report(&c.Heartbeat, "must lie between %v and %v", leastHeartbeat, mostHeartbeat)
	}
	c.checkTLS(d)
}

// usualTopic is the topic of a log.
const usualTopic = "trackway"

// checkKafka checks where the log is. Whether the URL is right is not known
// here.
func (c *Cluster) checkKafka(d Reporter) {
	k := &c.Kafka
	if d.Given(&c.Copies) {
		d.Report(&c.Copies, "is not a setting of log: kafka: each server holds all data")
	}
	if d.Given(&c.Peers) {
		d.Report(&c.Peers, "is not a setting of log: kafka: its servers find each other in the topic")
	}
	if k.Topic == "" {
		k.Topic = usualTopic
	}
	url, password := []any{&k.URLText, &k.URLEnv, &k.URLFile}, []any{&k.PasswordText, &k.PasswordEnv, &k.PasswordFile}
	if !slices.ContainsFunc(url, d.Given) {
		d.Missing(c, "needs kafka: {url: \"kafka://HOST:PORT,HOST:PORT\"}, or url_env or url_file instead of url")
		return
	}
	for name, forms := range map[string][]any{"url": url, "password": password} {
		if len(slices.DeleteFunc(forms, func(at any) bool { return !d.Given(at) })) > 1 {
			d.Missing(k, "needs one of %s, %[1]s_env and %[1]s_file, not several", name)
			return
		}
	}
	k.URL = d.Secret("url", &k.URLText, &k.URLEnv, &k.URLFile)
	k.Password = d.Secret("password", &k.PasswordText, &k.PasswordEnv, &k.PasswordFile)
	if k.User != "" && k.Password == "" {
		d.Missing(k, "needs a password for the user")
	}
}

// checkTLS refuses plain text beyond the loopback interface, since
// anyone who reaches the port could change all data.
func (c *Cluster) checkTLS(d Reporter) {
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
		d.Report(&c.TLS, "needs ca, cert and key, or none of them")
		return
	}
	for _, address := range append([]string{c.Listen, c.Advertise}, c.Peers...) {
		host, _, err := net.SplitHostPort(address)
		if ip, wrong := netip.ParseAddr(host); err == nil && (wrong != nil || !ip.IsLoopback()) {
			d.Missing(c, "needs tls: {ca, cert, key}, because %s is not an address of the loopback interface, such as 127.0.0.1", host)
			return
		}
	}
}

// isEverywhere reports whether a host stands for all addresses of the machine.
func isEverywhere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}
