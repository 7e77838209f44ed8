package traffic

import (
	"math"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trackway/internal/limit"
)

func drawFrame(t *rapid.T) *frame {
	kind := rapid.Custom(func(t *rapid.T) Kind {
		var k Kind
		for _, text := range k.texts() {
			*text = rapid.StringN(0, 5, 20).Draw(t, "text")
		}
		return k
	})
	kinds := rapid.SliceOfNDistinct(kind, 1, 4, rapid.ID).Draw(t, "kinds")
	from := rapid.Int64Range(0, math.MaxInt32).Draw(t, "from")
	return &frame{
		from: from, to: from + rapid.Int64Range(0, 100).Draw(t, "seconds"), unrecorded: rapid.Uint64().Draw(t, "unrecorded"), limits: rapid.Uint64().Draw(t, "limits"),
		rows: rapid.SliceOf(rapid.Custom(func(t *rapid.T) row {
			r := row{key: key{
				second: from + rapid.Int64Range(-5, 100).Draw(t, "second"), addr: rapid.Uint64().Draw(t, "addr"), v6: rapid.Bool().Draw(t, "v6"),
				kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
			}}
			r.calls, r.back = rapid.Uint32().Draw(t, "calls"), rapid.Uint32().Draw(t, "back")
			r.first = rapid.Uint16Range(0, 999).Draw(t, "first")
			if r.last = r.first; uint64(r.calls)+uint64(r.back) > 1 {
				r.last = rapid.Uint16Range(r.first, 999).Draw(t, "last")
			}
			return r
		})).Draw(t, "rows"),
	}
}

func TestFrame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawFrame(t)
		got, err := decode(want.append(nil)) // append sorts the rows
		if len(want.rows) == 0 {
			want.rows = nil
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(frame{}, row{}, key{}, counts{})); diff != "" || err != nil {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	})
}

// FuzzDecode checks that no input breaks the decoder, and that decoded frames
// survive writing and reading again.
func FuzzDecode(f *testing.F) {
	one := frame{from: 1, to: 2, rows: []row{{key{second: 1, addr: 0xffff_c000_0201, kind: Kind{Method: "GET"}}, counts{calls: 2, back: 1, last: 3}}}}
	f.Add(one.append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		read, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(read.append(nil))
		if err != nil || len(again.rows) != len(read.rows) {
			t.Errorf("%v: got %d rows, want %d", err, len(again.rows), len(read.rows))
		}
	})
}

// No call is lost or counted twice during a concurrent write.
func TestNotingWhileWriting(t *testing.T) {
	t.Parallel()
	r := recorder(t, always, monday)
	const each = 5000
	var noting, writing sync.WaitGroup
	stop := make(chan struct{})
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = r.Flush() // the last Flush is checked
			}
		}
	})
	for g := range 4 {
		noting.Go(func() {
			for i := range each {
				c := callOf("192.0.2.1")
				c.Addr = netip.AddrFrom4([4]byte{192, 0, byte(g), byte(i % 50)})
				r.Note(monday, c, &limit.Decision{Allowed: true})
			}
		})
	}
	noting.Wait()
	close(stop)
	writing.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	all, covered := walk(t, r.dir)
	calls := uint32(0)
	for _, s := range all {
		calls += s.Row.Calls
	}
	if calls != 4*each || len(all) != 4*50 || covered.Unrecorded > 0 {
		t.Errorf("got %d calls in %d rows, want %d in %d", calls, len(all), 4*each, 4*50)
	}
}
