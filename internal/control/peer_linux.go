package control

import (
	"net"
	"syscall"

	"trackway/internal/audit"
)

// personOf returns the user who has connected to a socket (SO_PEERCRED,
// unix(7)), or an empty text.
func personOf(conn *net.UnixConn) string {
	raw, err := conn.SyscallConn()
	if err != nil {
		return ""
	}
	var peer *syscall.Ucred
	if raw.Control(func(fd uintptr) {
		peer, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}) != nil || err != nil {
		return ""
	}
	return audit.Person(int(peer.Uid))
}
