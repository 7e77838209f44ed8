package budget

// Files is the open files that the process may have, by who needs them.
type Files struct {
	Limit       int // of the process (RLIMIT_NOFILE)
	Store       int // the store's tables, its logs, and what it writes
	Operator    int // connections to the operator's listener, and as many to the control socket
	Connections int // to the public listener
}

const (
	ownFiles     = 32 // standard streams, listeners, epoll, records, files that commands open
	mostOperator = 32
	leastPublic  = 8
)

// splitFiles divides the open files that the process may have. The store has
// those that it needs, since a store without files cannot keep what it
// acknowledged; the operator's connections have theirs, so that a full public
// listener can be looked at; the public has the rest.
func splitFiles(limit, store int) Files {
	f := Files{Limit: limit, Store: store, Operator: max(min(mostOperator, limit/32), 4)}
	f.Connections = max(limit-store-2*f.Operator-min(ownFiles, limit/8), leastPublic)
	return f
}
