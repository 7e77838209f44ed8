// Package budget splits the memory and the open files that the process may use
// among the parts of the server. It only computes, from what the operating
// system and the configuration say: it enforces nothing itself.
package budget

const (
	mib = 1 << 20

	// Default is the memory, in bytes, that the process may use if neither the
	// configuration nor the machine sets a lower limit. All shares then have
	// the values that the server was measured with.
	Default = 1 << 30

	// Least is the lowest useful limit, in bytes.
	Least = 128e6

	// MostCallers is how many callers the limits count at once if there is
	// memory for all of them. With less memory, they count fewer.
	MostCallers = 1 << 20

	memTables = 4 // of the store, at most

	// base is what an idle server uses: the program's own pages, the runtime,
	// the structures of the store and the guide (measured: 50 MiB).
	base = 64 * mib

	// outside is the part of base that Go's runtime does not count: the
	// program's pages (measured: 31 MiB, which the kernel can drop).
	outside = 48 * mib
)

// Memory splits the memory of the process into parts, in bytes unless a field
// says otherwise. Even if all parts are used up at once, their sum stays below
// Max. The rest is for Go's collector, which needs it to be fast.
type Memory struct {
	Max         int64 // of the whole process, as the kernel counts it (RSS)
	Runtime     int64 // the soft limit of Go's runtime (GOMEMLIMIT)
	Bodies      int   // bodies of all callers' requests together
	Connections int   // connections, each with the part of its header that has arrived
	Answers     int   // long answers while they are being made
	Stores      int   // how many stores share the next three
	Cache       int64 // blocks of the stores' files
	Known       int64 // the customers that came last, and their last events
	MemTable    int   // one table in memory, of which each store has at most four
	Callers     int   // how many callers the limits count at once, at 27 bytes each
}

// Measured with a million customers, a larger cache than usualCache made events
// no cheaper. So of a usual limit, the server leaves unused free. With a higher
// limit, which somebody has chosen, the cache grows further.
const (
	usualCache = 48 * mib
	unused     = 144 * mib
)

// split splits a limit in bytes, at least [Least], for a server with a number
// of stores. With [Default] and one store, all parts have the sizes that the
// server was measured with.
func split(limit int64, stores int) Memory {
	limit = max(limit, Least)
	const parts = 15
	rest := limit - base
	share := func(n int64) int64 { return rest * n / parts }
	const largestTable = 16 * mib
	m := Memory{
		Max:         limit,
		Runtime:     limit - outside,
		Bodies:      int(share(4)),
		Connections: int(share(3)),
		Answers:     int(share(2)),
		Cache:       share(2),
		Known:       max((limit-Least)/14, mib), // 64 MiB with Default
		Stores:      stores,
		MemTable:    int(min(share(2)/memTables/int64(stores), largestTable)),
		Callers:     int(min(limit/1024, MostCallers)), // 1/38 of the limit
	}
	m.Cache += share(2) - m.tables() // the tables do not need it
	m.Cache = max(min(m.Cache, usualCache), m.Cache-unused)
	return m
}

// tables returns the memory of all tables in memory.
func (m Memory) tables() int64 { return memTables * int64(m.Stores) * int64(m.MemTable) }

// The most that a connection uses, in bytes: goroutine, buffers, a header of up
// to 8 KiB that is still incomplete, and what the collector has not freed yet.
// Measured with 10 000 connections (docs/limits-of-resources.md).
const (
	plainConnection = 40 << 10
	tlsConnection   = 96 << 10
	leastMemory     = 64 // connections: a server with fewer would be useless
)

// headerShare is the fraction of the connections' memory for headers longer
// than these 8 KiB. A byte of such a header uses up to two bytes of memory.
const headerShare, headerCost = 4, 2

// mostConnections returns how many connections the memory allows, and how many
// bytes longer headers may use in addition.
func (m Memory) mostConnections(tls bool) (connections, headers int) {
	long := m.Connections / headerShare
	cost := plainConnection
	if tls {
		cost = tlsConnection
	}
	return max((m.Connections-long)/cost, leastMemory), long / headerCost
}
