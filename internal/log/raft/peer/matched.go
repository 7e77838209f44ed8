package peer

import (
	"sync"

	hraft "github.com/hashicorp/raft"
)

// matched is how far the logs of others have what this server's has, as they
// have answered.
type matched struct {
	mu sync.Mutex
	of map[hraft.ServerID]match
}

type match struct{ term, index uint64 }

// note notes an answer to entries.
func (m *matched) note(id hraft.ServerID, args *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse) {
	if !resp.Success {
		return
	}
	index := args.PrevLogEntry // the other has compared it
	if n := len(args.Entries); n > 0 {
		index = args.Entries[n-1].Index
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.of[id]; args.Term > known.term || args.Term == known.term && index > known.index {
		m.of[id] = match{args.Term, index}
	}
}

// Matched returns up to which index a server has the entries of this one, as it
// has answered in a term in which this one leads. It may have more.
func (t *Transport) Matched(id hraft.ServerID, term uint64) uint64 {
	t.matched.mu.Lock()
	defer t.matched.mu.Unlock()
	if known := t.matched.of[id]; known.term == term {
		return known.index
	}
	return 0
}
