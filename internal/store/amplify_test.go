package store

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/identity"
)

// sent returns the approximate size of the commands in a request's body.
func sent(cmds []trackway.Command) (n int) {
	const around = 64 // names of fields, and a time
	for i := range cmds {
		c := &cmds[i]
		n += around + len(c.Type) + len(canonjson.AppendIDs(nil, c.IDs)) + len(canonjson.AppendObject(nil, c.Properties))
	}
	return n
}

// amplified is a small request that makes the store write a lot.
type amplified struct {
	name   string
	before []trackway.Command
	cmds   []trackway.Command
	most   int // bytes written for each byte sent; values over 50 are explained in DESIGN.md
}

// longCookie returns an identifier of the maximum length.
func longCookie(of string, n int) trackway.Identifier {
	value := fmt.Sprintf("%s-%d-", of, n)
	return identifierOf("cookie", value+strings.Repeat("x", trackway.MaxIDBytes-len(value)))
}

// full gives a customer the maximum number of the longest soft identifiers.
func full(registered string) trackway.Command {
	ids := []trackway.Identifier{identifierOf("registered", registered)}
	for i := range trackway.MaxSoftIDs {
		ids = append(ids, longCookie(registered, i))
	}
	return update(1, nil, ids...)
}

// batch returns a request with the maximum number of commands.
func batch(command func(i int) trackway.Command) (cmds []trackway.Command) {
	for i := range trackway.MaxCommands {
		cmds = append(cmds, command(i))
	}
	return cmds
}

// many returns short identifiers.
func many(n int, name, prefix string) (ids []trackway.Identifier) {
	for i := range n {
		ids = append(ids, identifierOf(name, fmt.Sprint(prefix, i)))
	}
	return ids
}

// properties returns an object of n short properties.
func properties(n int, prefix, value string) map[string]string {
	m := make(map[string]string, n)
	for i := range n {
		m[fmt.Sprint(prefix, i)] = value
	}
	return m
}

// contested returns commands that create n customers with one cookie each, and
// a command of another customer that claims all these cookies. If filled is
// set, each of the n customers also has the maximum number of the longest
// identifiers.
func contested(n int, filled bool) (before []trackway.Command, claim trackway.Command) {
	ids := []trackway.Identifier{identifierOf("registered", "claims")}
	for i, id := range many(n, "cookie", "c") {
		owner := fmt.Sprint("owner", i)
		if filled {
			before = append(before, full(owner))
		}
		before = append(before, update(2, nil, identifierOf("registered", owner), id))
		ids = append(ids, id)
	}
	return before, update(3, nil, ids...)
}

func soft() []amplified {
	a, b := identifierOf("registered", "a"), identifierOf("registered", "b")
	turns := identifierOf("cookie", "t")
	var everybody []trackway.Command
	for i := range trackway.MaxCommands {
		everybody = append(everybody, full(strconv.Itoa(i)))
	}
	small, claimSmall := contested(identity.MaxRobbed, false)
	large, claimLarge := contested(identity.MaxRobbed, true)
	return []amplified{
		{"a contested identifier goes to and fro", []trackway.Command{full("a"), full("b")}, batch(func(i int) trackway.Command {
			return update(2, nil, []trackway.Identifier{a, b}[i%2], turns)
		}), 10},
		{"one customer gets new identifiers", []trackway.Command{full("a")}, batch(func(i int) trackway.Command {
			return update(2, nil, a, identifierOf("cookie", strconv.Itoa(i)))
		}), 10},
		{"identifiers of one customer go in front", []trackway.Command{full("a")}, batch(func(i int) trackway.Command {
			return update(2, nil, longCookie("a", i+1))
		}), 4},
		{"many customers get a new identifier each", everybody, batch(func(i int) trackway.Command {
			return update(2, nil, identifierOf("registered", strconv.Itoa(i)), identifierOf("cookie", fmt.Sprint("new", i)))
		}), 175},
		{"1023 new identifiers", nil, []trackway.Command{update(2, nil, append(many(1023, "cookie", "n"), a)...)}, 20},
		{"50 × 200 new identifiers", nil, batch(func(i int) trackway.Command {
			return update(2, nil, append(many(200, "cookie", fmt.Sprint("n", i, "-")), a)...)
		}), 20},
		{"64 contested identifiers", small, []trackway.Command{claimSmall}, 25},
		{"64 contested identifiers of full customers", large, []trackway.Command{claimLarge}, 2300},
	}
}

func merges() []amplified {
	names := trackway.MaxSoftIDs
	a := identifierOf("registered", "a")
	visitors := func(n int) (cmds []trackway.Command) {
		for _, id := range many(n, "cookie", "v") {
			cmds = append(cmds, update(2, nil, id))
		}
		return cmds
	}
	named := map[string]string{"absorbed_ids": string(canonjson.AppendIDs(nil, many(names, "cookie", "x")))}
	return []amplified{
		{
			"one merge of 16 visitors into a full customer", nil,
			append(visitors(16), update(3, nil, append(many(16, "cookie", "v"), a)...)), 200,
		},
		{"25 visitors, each merged into a full customer", nil, batch(func(i int) trackway.Command {
			if i%2 == 0 {
				return update(2, nil, identifierOf("cookie", fmt.Sprint("v", i/2)))
			}
			return update(3, nil, a, identifierOf("cookie", fmt.Sprint("v", i/2)))
		}), 85},
		{"merges of a client", nil, batch(func(i int) trackway.Command {
			return event(trackway.MergeType, trackway.Micros(i), named, a)
		}), 10},
	}
}

func others() []amplified {
	a := identifierOf("registered", "a")
	return []amplified{
		{"255 new properties", nil, []trackway.Command{update(2, properties(255, "p", "1"), a)}, 10},
		{"the same 255 properties 50 times", nil, batch(func(i int) trackway.Command {
			return update(trackway.Micros(2+i), properties(255, "p", "1"), a)
		}), 10},
		{"4096 properties, most refused", nil, []trackway.Command{update(2, properties(4096, "p", "1"), a)}, 10},
		{"events of new customers", nil, batch(func(i int) trackway.Command {
			return event("e", trackway.Micros(i), nil, identifierOf("cookie", strconv.Itoa(i)))
		}), 10},
		{"events of any type and hour", nil, batch(func(i int) trackway.Command {
			return event(fmt.Sprint("t", i), trackway.Micros(i)*3600e6, nil, a)
		}), 10},
		{"one event of one customer", nil, []trackway.Command{event("e", 1, nil, a)}, 10},
	}
}

// TestWritesAreFew: the size of a request bounds how much it makes the store
// write. DESIGN.md has the figures.
func TestWritesAreFew(t *testing.T) {
	t.Parallel()
	all := append(append(soft(), merges()...), others()...)
	for _, a := range all {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			s, err := Open("data", Options{FS: vfs.NewMem(), Fatal: func(err error) { panic(err) }})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			apply := func(cmds []trackway.Command) {
				for len(cmds) > 0 {
					n := min(len(cmds), trackway.MaxCommands)
					mustApply(t, s, cmds[:n]...)
					cmds = cmds[n:]
				}
			}
			apply(append([]trackway.Command{full("a")}, a.before...))
			if err := s.counts.Save(); err != nil {
				t.Fatal(err)
			}
			written, began := s.db.Metrics().WAL.BytesIn, time.Now()
			mustApply(t, s, a.cmds...)
			took := time.Since(began)
			if err := s.counts.Save(); err != nil {
				t.Fatal(err)
			}
			written = s.db.Metrics().WAL.BytesIn - written
			body := sent(a.cmds)
			times := int(written) / body
			t.Logf("| %s | %d | %d | %d | %v | %d ns |", a.name, body, written, times, took.Round(time.Microsecond), took.Nanoseconds()/int64(body))
			if times > a.most {
				t.Errorf("%d bytes were sent, %d written: %d times as many, want %d at most", body, written, times, a.most)
			}
		})
	}
}
