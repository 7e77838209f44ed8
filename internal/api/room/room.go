// Package room bounds what all callers take of something together: memory, places. Its one idea is that one address may take a share
// of it and no more, so that whoever takes a lot has room refused to himself and to nobody else.
package room

import (
	"net/netip"
	"sync"

	"trackway/internal/clientip"
)

// Shares is into how many parts a room is divided: an address has at most one of them.
const Shares = 4

// addressBits make one caller of IPv6 addresses.
const addressBits = 64

// Room is how much there is, and who has it. Safe for concurrent use.
type Room struct {
	size int

	mu   sync.Mutex
	used int                  // in all
	by   map[clientip.Key]int // and by each address that has any
}

// New returns a room of some size, in units of its user's.
func New(size int) *Room { return &Room{size: size, by: make(map[clientip.Key]int)} }

// Take takes n for an address, or tells that there is no room for them and takes none.
func (m *Room) Take(who netip.Addr, n int) bool {
	key := clientip.KeyOf(who, addressBits)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used+n > m.size || m.by[key]+n > m.size/Shares {
		return false
	}
	m.used += n
	m.by[key] += n
	return true
}

// Release gives back n that an address took.
func (m *Room) Release(who netip.Addr, n int) {
	key := clientip.KeyOf(who, addressBits)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= n
	if m.by[key] -= n; m.by[key] == 0 {
		delete(m.by, key)
	}
}

// Used returns how much is taken.
func (m *Room) Used() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}
