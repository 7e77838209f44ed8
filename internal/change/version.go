package change

// Version names a state of a project's data by the change that led to it.
// Servers that share a log give the same state the same version, unless the
// change came before the start of one of them.
type Version struct {
	Origin  [16]byte // of the change
	Counter uint64   // each change of an origin has another one
	Index   uint64   // in the shared log; 0: it has none, and only this server knows this version
}
