package config

import (
	"net"
	"strings"
)

// PublicURL returns the URL at which clients reach this server, without a
// trailing slash. It is the one in the configuration, or else the address on
// which the server listens.
func (c *Config) PublicURL(listener net.Addr) string {
	switch {
	case c.Server.URL != "":
		return strings.TrimRight(c.Server.URL, "/")
	case c.TLS.Cert != "":
		return "https://" + Reachable(listener)
	}
	return "http://" + Reachable(listener)
}

// Reachable returns an address at which the host itself can reach a listener.
// For a listener on all addresses, this is the loopback address.
func Reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || tcp.IP != nil && !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	local := &net.TCPAddr{IP: net.IPv6loopback, Port: tcp.Port}
	if tcp.IP == nil || tcp.IP.To4() != nil { // ":8080" means all addresses
		local.IP = net.IPv4(127, 0, 0, 1)
	}
	return local.String()
}
