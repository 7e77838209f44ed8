package store

import (
	"maps"
	"math/rand/v2"
	"strconv"
	"testing"

	"trackway"
	"trackway/internal/store/format"
	"trackway/internal/store/totals"
)

// TestBatchIsItsCommands: a batch, which writes each record once at its end,
// leaves what its commands leave one by one, byte for byte, although the cache
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
			if one.Customer != together[i].Customer || one.Seq != together[i].Seq || (one.Err == nil) != (together[i].Err == nil) {
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
	all, want := dump(t, batches), dump(t, single)
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
