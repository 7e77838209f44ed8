package config

import (
	"trackway/internal/budget"
	"trackway/internal/partition"
)

// Connections limits the connections to the public listener.
type Connections struct {
	Max        uint32 `yaml:"max"`         // 0: as many as open files and memory allow
	PerAddress uint32 `yaml:"per_address"` // per IPv4 address or IPv6 /64, except for trusted proxies
}

// Memory limits the memory of the process.
type Memory struct {
	MaxMB uint32 `yaml:"max_mb"` // 0: a share of what the machine has
}

// MaxBytes returns the limit in bytes. 0 means that the operator set no limit.
func (m Memory) MaxBytes() int64 { return int64(m.MaxMB) * megabyte }

const (
	mostConnections = 1_000_000
	leastMB         = budget.Least / megabyte
	mostMB          = 1_000_000
)

func (d *doc) checkBounds() {
	if n := &d.file.Partitions; *n == 0 || *n > partition.Most {
		d.report(n, "must lie between 1 and %d", partition.Most)
	}
	c := &d.file.Connections
	if c.Max > mostConnections {
		d.report(&c.Max, "must be at most %d connections, or 0 for as many as open files and memory allow", mostConnections)
	}
	if c.PerAddress == 0 || c.PerAddress > mostConnections {
		d.report(&c.PerAddress, "must lie between 1 and %d (connections)", mostConnections)
	}
	if m := &d.file.Memory; m.MaxMB != 0 && (m.MaxMB < leastMB || m.MaxMB > mostMB) {
		d.report(&m.MaxMB, "must lie between %d and %d (megabytes), or be 0 for what the machine allows", int(leastMB), mostMB)
	}
}
