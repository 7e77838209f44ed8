// Package version says which entries a program reads.
package version

import (
	"errors"

	"trackway/internal/entry"
)

// The versions of entries. A program that reads one reads those before it, and
// every program reads 0.
const (
	Contents = 1 // commands may carry contents
	Keys     = 2 // there are entries of the kind [entry.HashKey], and hashes under such a key
)

// ErrNotRead is the error of a log for an entry that not all servers are known
// to read. The log does not have it.
var ErrNotRead = errors.New("not all servers are known to read the entry")

// Of returns which version a program must read to read an entry.
func Of(e entry.Entry) uint64 {
	switch e := e.(type) {
	case *entry.Once:
		return Of(e.Entry)
	case *entry.HashKey:
		return Keys
	case *entry.Commands:
		if !e.Carries {
			return 0
		}
		for i := range e.Requests {
			if q := &e.Requests[i]; q.Keyed && q.Contents != nil {
				return Keys
			}
		}
		return Contents
	}
	return 0
}
