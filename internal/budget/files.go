package budget

// Files is the open files that the process may have, by who needs them.
type Files struct {
	Limit       int // of the process (RLIMIT_NOFILE)
	Store       int // the store's tables, its logs, and the files of the record of calls
	Operator    int // connections to the operator's listener, and as many to the control socket
	Connections int // to the public listener
}

const (
	ownFiles     = 32 // standard streams, listeners, epoll, files that commands open
	mostOperator = 32
	mostStore    = 4100 // Pebble's own bound on tables is 4000
	leastPublic  = 8
	leastStore   = 96 // Pebble keeps 64 tables open however few it may
)

// SplitFiles divides the open files that the process may have. The store has
// half of them at least, more if they are few, as long as it has use for so many, since a store
// without files cannot keep what it acknowledged; the operator's connections
// have theirs, so that a full public listener can be looked at.
func SplitFiles(limit int) Files {
	own := min(ownFiles, limit/4)
	f := Files{Limit: limit, Operator: max(min(mostOperator, limit/32), 4)}
	rest := limit - own - 2*f.Operator
	f.Store = min(max(rest/2, min(leastStore, rest-leastPublic)), mostStore)
	f.Connections = max(rest-f.Store, leastPublic)
	return f
}
