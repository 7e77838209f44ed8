package app

import (
	"context"
	"strconv"
	"strings"
	"time"

	"trackway"
	"trackway/internal/api/position"
	"trackway/internal/ask"
)

// shared returns the log that this server shares with others, or nil if it
// stands alone.
func (s *server) shared() position.Log {
	if s.member == nil {
		return nil
	}
	return s.member
}

// A position is the number of the log, a dot, and the index of an entry. There
// is one log so far.
const onlyLog = "0."

// Position implements [position.Log].
func (m *member) Position() string {
	return onlyLog + strconv.FormatUint(m.raft.Load().Position(), 10)
}

// Current implements [position.Log]. Without a leader, or if its disk is full,
// this server gets nothing more, and reads go on with what it has.
func (m *member) Current() bool {
	log := m.raft.Load()
	if log.HasOwn() || log.Full() {
		return true
	}
	known := log.Status()
	return known.Leader == "" && known.Member() != nil
}

// readTime limits how long a reader waits before this server asks the leader,
// or answers with what it has.
const readTime = time.Second

// errNotReached says that nobody else can answer, either. It is not
// [position.ErrBehind], so nothing more is tried.
var errNotReached error = &trackway.Error{Code: trackway.Overloaded, Msg: "This server does not have what the others have at the moment. Try again."}

var errPosition = ask.Invalid(position.Header, "what a server of this cluster has sent")

// Reach implements [position.Log]. The leader tells whether there is such a
// position.
func (m *member) Reach(ctx context.Context, at string, latest bool) error {
	log := m.raft.Load()
	index := uint64(0)
	if at != "" {
		text, ok := strings.CutPrefix(at, onlyLog)
		var err error
		if index, err = strconv.ParseUint(text, 10, 64); err != nil || !ok {
			return errPosition
		}
	}
	if !latest {
		soon, cancel := context.WithTimeout(ctx, readTime)
		reached := log.Reach(soon, index)
		cancel()
		if reached {
			return nil
		}
	}
	leader, known := log.Leader()
	canPass := known && leader.ID != log.Self() && !position.Stays(ctx)
	if canPass && !latest {
		return position.ErrBehind
	}
	ctx, cancel := context.WithTimeout(ctx, 5*m.cfg.Heartbeat) // as long as writers wait
	defer cancel()
	last, err := log.Latest(ctx)
	if canPass { // the leader has it sooner
		ctx, cancel = context.WithTimeout(ctx, readTime)
		defer cancel()
	}
	switch {
	case err != nil:
		return errNotReached
	case index > last:
		return errPosition
	case log.Reach(ctx, last):
		return nil
	case canPass:
		return position.ErrBehind
	}
	return errNotReached
}
