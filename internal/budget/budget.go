// Package budget splits what the process may take of the machine, memory and
// open files, among the parts of the server. It is arithmetic on what the
// operating system and the configuration say: it enforces nothing itself.
package budget

const (
	mib = 1 << 20

	// Default is the memory that the process may take if neither the
	// configuration nor the machine says less, in bytes. All shares are at the
	// values that the server was measured with.
	Default = 1 << 30

	// Least is the smallest figure, in bytes, with which a server is of use.
	Least = 128e6

	// MostCallers is how many callers the limits count at once if there is
	// memory for all of them. A process that may take little memory counts fewer.
	MostCallers = 1 << 20

	memTables = 4 // of the store, at most

	// base is what a server takes that does nothing: the program's own pages,
	// the runtime, the store's and the guide's structures (measured: 50 MiB).
	base = 64 * mib

	// outside is the part of base that Go's runtime does not count as its own:
	// the program's pages (measured: 31 MiB, which the kernel can drop).
	outside = 48 * mib
)

// Memory is the memory of the process, by part, in bytes unless a field says
// otherwise. The parts together stay under Max, if all of them are used up at
// once: what is left over is for Go's collector, which needs it to be quick.
type Memory struct {
	Max         int64 // of the whole process, as the kernel counts it (RSS)
	Runtime     int64 // the soft limit of Go's runtime (GOMEMLIMIT)
	Bodies      int   // bodies of requests, of all callers together
	Connections int   // connections, with what of a header has come on each
	Answers     int   // long answers while they are made
	Cache       int64 // blocks of the store's files
	Known       int64 // which customers came last, and their last events
	MemTable    int   // one of the store's tables in memory, of which there are four at most
	Callers     int   // how many callers the limits count at once, at 27 bytes each
}

// split returns the parts of a figure in bytes, which is to be [Least] or more.
// With [Default] the store, the bodies and the callers have exactly what they
// had before there was a figure.
func split(limit int64) Memory {
	limit = max(limit, Least)
	const parts = 15
	rest := limit - base
	share := func(n int64) int64 { return rest * n / parts }
	const largestTable = 32 * mib
	m := Memory{
		Max:         limit,
		Runtime:     limit - outside,
		Bodies:      int(share(4)),
		Connections: int(share(3)),
		Answers:     int(share(2)),
		Cache:       share(2),
		Known:       max((limit-Least)/14, mib), // 64 MiB with Default
		MemTable:    int(min(share(2)/memTables, largestTable)),
		Callers:     int(min(limit/1024, MostCallers)), // 1/38 of the figure
	}
	m.Cache += share(2) - memTables*int64(m.MemTable) // what the tables do not need
	return m
}

// What a connection costs, in bytes, at most: goroutine, buffers, a header of
// up to 8 KiB that has not come whole, and what the collector leaves lying.
// Measured with 10 000 of them (docs/limits-of-resources.md).
const (
	plainConnection = 40 << 10
	tlsConnection   = 96 << 10
	leastMemory     = 64 // connections: less would be no server
)

// headerShare is which part of the connections' memory is for headers that
// are longer than those 8 KiB. A byte of one takes up to two of memory.
const headerShare, headerCost = 4, 2

// mostConnections returns how many connections the memory carries, and how
// many bytes longer headers may take together beside them.
func (m Memory) mostConnections(tls bool) (connections, headers int) {
	long := m.Connections / headerShare
	cost := plainConnection
	if tls {
		cost = tlsConnection
	}
	return max((m.Connections-long)/cost, leastMemory), long / headerCost
}
