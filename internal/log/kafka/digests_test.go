package kafka

import (
	"errors"
	"testing"
	"time"

	"trackway/internal/entry"
	"trackway/internal/log/compare"
)

// watchful are options with which servers compare their states often.
var watchful = Options{
	Version: "1", askEach: 50 * time.Millisecond, digests: compare.Pace{Entries: 20, Time: 300 * time.Millisecond, Least: 50 * time.Millisecond},
}

// misread is an entry as a mistaken server takes it.
func misread(once *entry.Once) {
	if c, is := once.Entry.(*entry.Commands); is {
		c.Requests[0].Commands[0].Type = "mistake"
	}
}

// compares waits until a server has compared its state with those of others, as
// of now.
func (s *server) compares(t *testing.T) {
	t.Helper()
	after := s.Position()
	await(t, func() error {
		if got := s.Compared(); got.Last <= after {
			return errors.New("states were not compared")
		}
		return nil
	})
}

// TestEqualStates: servers that have the same state compare it and go on, after
// a start, too.
func TestEqualStates(t *testing.T) {
	t.Parallel()
	url := urlOf(fake(t))
	a, b := two(t, url, watchful)
	a.visit(t, "a1")
	b.compares(t)
	b = b.again(t, url)
	awaitReady(t, b.Log)
	b.visit(t, "b1")
	a.compares(t)
	b.compares(t)
	for _, s := range []*server{a, b} {
		if got := s.Compared(); got.Differing != 0 || s.broken() != nil {
			t.Errorf("got %+v, %v", got, s.broken())
		}
	}
}

// TestMistakenServer: a server that applies an entry in another way ends, even
// if it leads, and does not start again. The others go on, and know which one
// it was.
func TestMistakenServer(t *testing.T) {
	t.Parallel()
	for name, leads := range map[string]bool{"the leader": true, "another one": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := urlOf(fake(t))
			a, b := two(t, url, watchful)
			o := b.o
			o.Dir = ""
			c := serve(t, url, new(state), o)
			awaitReady(t, c.Log)
			mistaken, others := c, []*server{a, b}
			if leads {
				mistaken, others = a, []*server{b, c}
			}
			mistaken.machine.setTwist(misread)
			others[0].visit(t, "b1")
			mistaken.refuses(t, "the data of this server differs")
			for _, s := range others {
				await(t, func() error {
					if s.Compared().Differing != 1 || s.states.Differs(mistaken.ID()) == 0 {
						return errors.New("the others do not know")
					}
					return nil
				})
				s.visit(t, "b2")
				if err := s.broken(); err != nil {
					t.Error(err)
				}
			}
			if err := mistaken.Close(); err != nil {
				t.Fatal(err)
			}
			mistaken.o.Network, mistaken.o.Brokers = network(t), optionsOf(t, url)
			if _, err := Open(mistaken.machine, mistaken.o); !errors.Is(err, compare.ErrDiffers) {
				t.Errorf("it is started again: got %v", err)
			}
		})
	}
}

// TestTwoDiffer: of two servers, nobody can tell which one is right. Both go
// on, and say that they differ.
func TestTwoDiffer(t *testing.T) {
	t.Parallel()
	url := urlOf(fake(t))
	a, b := two(t, url, watchful)
	b.machine.setTwist(misread)
	a.visit(t, "a1")
	for _, s := range []*server{a, b} {
		await(t, func() error {
			if s.Compared().Differing != 2 {
				return errors.New("it has not noticed")
			}
			return nil
		})
		s.visit(t, "b1")
		if err := s.broken(); err != nil {
			t.Error(err)
		}
	}
}
