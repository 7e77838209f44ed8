package raft

import (
	"context"

	hraft "github.com/hashicorp/raft"

	"trackway/internal/log/compare"
)

// Comparison is the result of the comparisons of states so far.
type Comparison = compare.Comparison

// Compared returns what this server knows.
func (l *Log) Compared() Comparison { return l.states.Compared() }

// ids returns the ids of the members.
func (l *Log) ids() (ids []string) {
	for _, m := range l.members() {
		ids = append(ids, m.ID)
	}
	return ids
}

// self returns what this server tells of itself for comparisons.
func (l *Log) self() *compare.Server {
	return &compare.Server{ID: l.ID(), Version: l.o.Version, Start: l.counter.Load() >> startBits, Applied: l.progress.Reached()}
}

// compare compares the digests of this server with those of the others. If its
// own state is not that of most, it ends.
func (l *Log) compare() {
	answered, _ := l.fresh()
	others := make([]compare.Server, len(answered))
	for i := range answered {
		others[i] = answered[i].compared()
	}
	if index := l.states.Compare(l.self(), others, l.ids()); index != 0 {
		l.differ(index)
	}
}

// differ ends this server, whose state is not that of most. It hands leadership
// over first, and tells the others.
func (l *Log) differ(index uint64) {
	l.fitness.Set(compare.Stops, l.o.Log)
	l.resign(context.Background())
	l.tell(change{Do: "differs", ID: l.ID(), Applied: index})
	l.fatal(compare.Mark(l.o.FS, l.o.Dir, compare.Found(index, "Remove it (trackway cluster remove "+l.ID()+", at another server), empty its data directory, "+
		"start it and let it join again (trackway cluster join)")))
}

// orderDigest has all servers take a digest, if this server leads and one is
// due.
func (l *Log) orderDigest(ctx context.Context) {
	leads := l.raft.State() == hraft.Leader && l.Unfit() == nil && l.broken() == nil
	l.states.Order(ctx, leads, l.self(), l.others.all(), l.ids(), l.Append)
}
