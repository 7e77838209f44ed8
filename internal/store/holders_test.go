package store

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"trackway"
	"trackway/internal/store/format"
	"trackway/internal/store/totals"
)

// TestBatchIsItsCommands: a batch, which writes each record once at its end,
// leaves byte for byte what its commands leave one by one, even if the cache
// holds fewer customers than a batch changes.
func TestBatchIsItsCommands(t *testing.T) {
	t.Parallel()
	batches, single := openTest(t), openTest(t)
	r := rand.New(rand.NewPCG(3, 4))
	at := trackway.Micros(0)
	refused := 0
	for range 60 {
		at++
		var cmds []trackway.Command
		for i := range 1 + r.IntN(trackway.MaxCommands) {
			ids := []trackway.Identifier{identifierOf("cookie", strconv.Itoa(r.IntN(40)))}
			if r.IntN(3) == 0 {
				ids = append(ids, identifierOf("registered", strconv.Itoa(r.IntN(20))))
			}
			if r.IntN(5) == 0 {
				ids = append(ids, identifierOf("email", strconv.Itoa(r.IntN(20))))
			}
			if r.IntN(9) == 0 {
				ids = append(ids, identifierOf("cookie", strconv.Itoa(40+r.IntN(100))), identifierOf("cookie", strconv.Itoa(200+r.IntN(1000))))
			}
			c := event("e", trackway.Micros(1000*int(at)+i), nil, ids...)
			if r.IntN(2) == 0 {
				c = update(at, map[string]string{"p" + strconv.Itoa(r.IntN(300)): "1"}, ids...)
			}
			c.Received = at
			cmds = append(cmds, c)
		}
		together := mustApply(t, batches, cmds...)
		for i := range cmds {
			one := mustApply(t, single, cmds[i])[0]
			if one.Customer != together[i].Customer || (one.Seq == 0) != (together[i].Seq == 0) || (one.Err == nil) != (together[i].Err == nil) {
				t.Fatalf("command %v: got %+v in a batch, %+v alone", cmds[i].IDs, together[i], one)
			}
			if one.Err != nil {
				refused++
			}
		}
	}
	for _, s := range []*Store{batches, single} {
		mustBeConsistent(t, s)
		if err := s.counts.Save(); err != nil {
			t.Fatal(err)
		}
	}
	all, want := renumbered(dump(t, batches)), renumbered(dump(t, single))
	delete(all, format.KeyApplied) // a batch is one entry
	delete(want, format.KeyApplied)
	if !maps.Equal(all, want) {
		for key, value := range want {
			if all[key] != value {
				t.Errorf("%q: got %q, want %q", key, all[key], value)
			}
		}
		t.Errorf("%d keys, want %d", len(all), len(want))
	}
	if total := all[string(totals.AppendKey(nil, totals.Day{Project: demo}))]; total == "" {
		t.Error("no totals: the test tests nothing")
	} else if u, err := totals.Decode([]byte(total)); err != nil || u.Absorbed < 10 || refused < 10 {
		t.Errorf("%d customers were merged, %d commands refused, %v: the test tests nothing", u.Absorbed, refused, err)
	}
}

// renumbered returns a dump without the changes that are not events, and with
// the events numbered without gaps: how many other changes there are depends on
// which commands share a transaction.
func renumbered(all map[string]string) map[string]string {
	rank := make(map[uint64]uint64)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if key[0] == format.TableLog {
			rank[binary.BigEndian.Uint64([]byte(key[1:]))] = uint64(len(rank) + 1)
		}
	}
	tail := func(key string, to uint64) string {
		return string(binary.BigEndian.AppendUint64([]byte(key[:len(key)-8]), to))
	}
	out := make(map[string]string)
	for key, value := range all {
		r := format.Reader{Rest: value}
		switch key[0] {
		case format.TableChanges, format.TableLatest, format.TableNode:
			continue
		case format.TableLog:
			key = tail(key, rank[binary.BigEndian.Uint64([]byte(key[1:]))])
		case format.TableTimeline:
			seq := r.Uvarint()
			if end := binary.BigEndian.Uint64([]byte(key[len(key)-8:])); end == seq {
				key = tail(key, rank[seq])
			}
			value = fmt.Sprint(rank[seq], r.Rest)
		case format.TableCounts:
			events, first := r.Uvarint(), r.Uvarint()
			value = fmt.Sprint(events, rank[first], rank[first+r.Uvarint()])
		}
		out[key] = value
	}
	return out
}
