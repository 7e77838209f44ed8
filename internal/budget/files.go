package budget

// Files splits the number of files that the process may open.
type Files struct {
	Limit       int // of the process (RLIMIT_NOFILE)
	Store       int // the store's tables, its logs, and the files that it writes
	Operator    int // connections to the operator's listener, the control socket, and the listener for plain HTTP, each
	Connections int // to the public listener
}

const (
	ownFiles     = 32 // standard streams, listeners, epoll, records, files that commands open
	mostOperator = 32
	leastPublic  = 8
)

// splitFiles splits the number of files that the process may open. The store
// gets what it needs, since without files it cannot keep what it has
// acknowledged. The operator gets a fixed number, to be able to reach a server
// whose public listener is full. The public gets the rest.
func splitFiles(limit, store int) Files {
	f := Files{Limit: limit, Store: store, Operator: max(min(mostOperator, limit/32), 4)}
	f.Connections = max(limit-store-3*f.Operator-min(ownFiles, limit/8), leastPublic)
	return f
}
