package member

import (
	"errors"
	"fmt"
	"strings"

	"trackway/internal/config/membership"
	"trackway/internal/partition"
)

// several are the reasons of several partitions, which are not equal.
type several []error

// Error implements [error].
func (s several) Error() string {
	texts := make([]string, len(s))
	for i, err := range s {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap is for [errors.Is].
func (s several) Unwrap() []error { return s }

// err returns the reasons as an error, or nil without any.
func (s several) err() error {
	switch len(s) {
	case 0:
		return nil
	case 1:
		return s[0]
	}
	return s
}

// Ready returns why this server should get no requests, or nil. If partitions
// have no leader, no server can store their commands. The server goes on with
// the others. It also goes on if it cannot serve a partition that other servers
// may have, too: calls for its projects are passed on. All partitions that are
// not in order are named.
func (m *Member) Ready() error {
	var found several
	leaderless, stops := 0, false
	serving := m.parts[0].serves.Load()
	for _, p := range m.parts {
		if serving && !p.serves.Load() {
			continue // others answer for it
		}
		err := p.ready()
		if err == nil {
			continue
		}
		if errors.Is(err, errNoLeader) && p.caughtUp.Load() {
			leaderless++
		} else if p.number == 0 || !serving || m.o.Cluster.Log != membership.Raft { // which passes calls on
			stops = true
		}
		found = append(found, m.of(p, err))
	}
	if leaderless < len(m.parts) && !stops {
		return nil
	}
	if leaderless == len(found) {
		return errNoLeader // the same in all
	}
	return found.err()
}

// of says which partition an error is about, if there are several.
func (m *Member) of(p *Part, err error) error {
	if err == nil || m.o.Partitions == 1 {
		return err
	}
	return fmt.Errorf("partition %s: %w", partition.Name(p.number), err)
}

// Notes returns what is not in order in single partitions.
func (m *Member) Notes() (all []error) {
	if m.o.Partitions == 1 {
		return nil
	}
	for i := range m.o.Partitions {
		p := m.Part(i)
		var err error
		switch {
		case p == nil:
			if _, led := m.holders(i); !led {
				err = errNobodyKnown
			}
		case !p.serves.Load():
			err = errNotServed
			if why := p.ready(); why != nil {
				err = fmt.Errorf("%w: %w", err, why)
			}
		default:
			err = p.ready()
		}
		if err != nil {
			all = append(all, fmt.Errorf("partition %s: %w", partition.Name(i), err))
		}
	}
	return all
}

var (
	errNobodyKnown = errors.New("it is on other servers, and none is known to lead it")
	errNotServed   = errors.New("other servers answer for this one")
)

// Takes reports whether commands of a project can be stored now, as far as this
// server knows.
func (m *Member) Takes(project uint32) bool {
	number := 0
	if m.o.Partitions > 1 {
		number = partition.Of(project)
	}
	p := m.Part(number)
	return p != nil && p.ready() == nil
}
