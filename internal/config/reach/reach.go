// Package reach says where clients reach a server, by its configuration.
package reach

import (
	"net"
	"strconv"
	"strings"

	"trackway/internal/config"
)

const httpsPort = 443

// URL returns the URL at which clients reach this server, without a
// trailing slash. It is the one in the configuration, or else the first host
// that gets a certificate, or else the address on which the server listens.
func URL(c *config.Config, listener net.Addr) string {
	switch {
	case c.Server.URL != "":
		return strings.TrimRight(c.Server.URL, "/")
	case len(c.TLS.ACME.Hosts) > 0:
		return "https://" + withPort(c.TLS.ACME.Hosts[0], listener)
	case c.TLS.Secure():
		return "https://" + Local(listener)
	}
	return "http://" + Local(listener)
}

// HTTPS returns the URL of the configuration at which clients reach this
// server, if it is https. Otherwise it returns an empty string. It has no
// trailing slash.
func HTTPS(c *config.Config) string {
	if strings.HasPrefix(c.Server.URL, "https://") {
		return strings.TrimRight(c.Server.URL, "/")
	}
	return ""
}

// withPort appends the port of a listener to a host, unless it is that of
// HTTPS.
func withPort(host string, listener net.Addr) string {
	if tcp, ok := listener.(*net.TCPAddr); ok && tcp.Port != httpsPort {
		return net.JoinHostPort(host, strconv.Itoa(tcp.Port))
	}
	return host
}

// Local returns an address at which the host itself can reach a listener. For
// a listener on all addresses, this is the loopback address of IPv4: such a
// listener also takes IPv4 (see [net.Listen]), even if it calls itself [::],
// and shells treat the brackets of [::1] in a URL as a pattern.
func Local(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || tcp.IP != nil && !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tcp.Port}).String()
}
