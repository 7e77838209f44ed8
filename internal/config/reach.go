package config

import (
	"net"
	"strings"
)

// PublicURL returns where clients reach this server, without a slash at its end:
// where the operator says, or else at the address on which it listens.
func (c *Config) PublicURL(listener net.Addr) string {
	switch {
	case c.Server.URL != "":
		return strings.TrimRight(c.Server.URL, "/")
	case c.TLS.Cert != "":
		return "https://" + Reachable(listener)
	}
	return "http://" + Reachable(listener)
}

// Reachable returns an address at which a listener can be reached from its own
// host. One that listens everywhere is reached on the loopback interface.
func Reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || tcp.IP != nil && !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	local := &net.TCPAddr{IP: net.IPv6loopback, Port: tcp.Port}
	if tcp.IP == nil || tcp.IP.To4() != nil { // ":8080" is every address
		local.IP = net.IPv4(127, 0, 0, 1)
	}
	return local.String()
}
