package afar

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/partition"
	"trackway/internal/partition/stores"
	"trackway/internal/query"
	"trackway/internal/store"
)

// names are the projects of a server that numbers them in its own way.
type names map[string]uint32

func (n names) Number(token string) uint32 { return n[token] }

func (n names) Token(project uint32) string {
	for token, number := range n {
		if number == project {
			return token
		}
	}
	return ""
}

// holding is a server that holds two partitions, and what another one sees of
// the second.
type holding struct {
	set      *stores.Set
	projects []trackway.Project
	away     *Part
	numbers  names       // at the other server
	down     atomic.Bool // it does not answer
	gone     atomic.Bool // it does not hold the partition

	followed  chan struct{} // gets an element when somebody follows it
	transport http.Transport
}

type toServer struct {
	h  *holding
	at string
}

// RoundTrip implements [http.RoundTripper].
func (to toServer) RoundTrip(r *http.Request) (*http.Response, error) {
	if to.h.down.Load() {
		return nil, errors.New("connection refused")
	}
	r.URL.Host = strings.TrimPrefix(to.at, "http://")
	res, err := to.h.transport.RoundTrip(r)
	if err == nil && r.URL.Path == Path+"follow" {
		select {
		case to.h.followed <- struct{}{}:
		default:
		}
	}
	return res, err
}

func hold(t *testing.T) *holding {
	t.Helper()
	var all []*store.Store
	dir := t.TempDir()
	for i := range 2 {
		one, err := store.Open(filepath.Join(dir, partition.Name(i)), store.Options{
			Cache: 1 << 20, Known: 1 << 20, MemTable: 1 << 20, Fatal: func(err error) { panic(err) },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = one.Close() })
		all = append(all, one)
	}
	h := &holding{set: stores.Of(all...), projects: make([]trackway.Project, 4), numbers: names{}, followed: make(chan struct{}, 1)}
	for i := range h.projects {
		h.projects[i] = trackway.Project{Name: strconv.Itoa(i), Token: fmt.Sprint("token ", i), Hard: []string{"registered"}}
	}
	if err := h.set.Register(h.projects); err != nil {
		t.Fatal(err)
	}
	for i := range h.projects {
		if p := &h.projects[i]; partition.Of(p.Number) == 1 {
			h.numbers[p.Token] = partition.Global(1, 100-partition.Local(p.Number))
		}
	}
	at := httptest.NewServer(Handler(h.set, func(int) bool { return !h.gone.Load() }))
	t.Cleanup(at.Close)
	lost := toServer{h: &holding{}, at: "http://127.0.0.1:1"}
	lost.h.down.Store(true)
	h.away = New(1, h.numbers, func() []http.RoundTripper { return []http.RoundTripper{lost, toServer{h, at.URL}} })
	return h
}

// mine returns a project of the partition, as the holder knows it.
func (h *holding) mine(n int) *trackway.Project {
	for i := range h.projects {
		if p := &h.projects[i]; partition.Of(p.Number) == 1 {
			if n--; n < 0 {
				return p
			}
		}
	}
	panic("there are not so many")
}

// other returns the number of a project at the other server.
func (h *holding) other(p *trackway.Project) uint32 { return h.numbers[p.Token] }

func (h *holding) apply(t *testing.T, p *trackway.Project, who, typ string, at time.Time) {
	t.Helper()
	cmds := []trackway.Command{{
		Kind: trackway.AddEvent, Project: p.Number, IDs: []trackway.Identifier{{Name: "registered", Value: who, Hard: true}}, Type: typ,
		Time: trackway.MicrosOf(at), Received: trackway.MicrosOf(at), Properties: []trackway.Property{{Name: "who", Value: []byte(`"` + who + `"`)}},
	}}
	results := make([]trackway.Result, 1)
	if err := h.set.Apply(cmds, results); err != nil || results[0].Err != nil {
		t.Fatal(err, results[0].Err)
	}
}

// TestCounts: what is counted of a project is the same as at the holder.
func TestCounts(t *testing.T) {
	t.Parallel()
	h := hold(t)
	now := time.Unix(1_800_000_000, 0)
	for i := range 3000 {
		h.apply(t, h.mine(i%2), "jane", fmt.Sprint("type ", i%700), now.Add(time.Duration(i%9)*time.Hour))
	}
	type counted struct {
		Usage  map[query.Day]query.Usage
		Counts map[query.Count]bool
		Named  bool
	}
	count := func(s query.CountReader, project uint32) (c counted) {
		c.Usage, c.Counts = map[query.Day]query.Usage{}, map[query.Count]bool{}
		if err := s.Usage(project, func(d query.Day, u query.Usage) bool { c.Usage[d] = u; return true }); err != nil {
			t.Fatal(err)
		}
		if err := s.Counts(project, query.CountRange{By: query.ByTime}, func(n query.Count) bool { c.Counts[n] = true; return true }); err != nil {
			t.Fatal(err)
		}
		c.Named = s.CountedByName(project, "type 1")
		return c
	}
	here := h.set.Snapshot()
	defer func() { _ = here.Close() }()
	for i := range 2 {
		want := count(here, h.mine(i).Number)
		if diff := cmp.Diff(want, count(h.away, h.other(h.mine(i)))); diff != "" || len(want.Counts) < sized || !want.Named {
			t.Errorf("of %d counts (-want +got): %s", len(want.Counts), diff)
		}
	}
	some := 0
	err := h.away.Counts(h.other(h.mine(0)), query.CountRange{By: query.ByTime}, func(query.Count) bool { some++; return some < 3 })
	if err != nil || some != 3 {
		t.Errorf("got %d counts, %v", some, err)
	}
	for name, flag := range map[string]*atomic.Bool{"down": &h.down, "gone": &h.gone} {
		flag.Store(true)
		err := h.away.Usage(h.other(h.mine(0)), func(query.Day, query.Usage) bool { t.Error("it knows a day"); return false })
		if known, ok := errors.AsType[*trackway.Error](err); !ok || known.Code != trackway.Overloaded {
			t.Errorf("%s: got %v", name, err)
		}
		flag.Store(false)
	}
}

// TestVersions: the version of a project changes with its data, and is new each
// time if nothing is known.
func TestVersions(t *testing.T) {
	t.Parallel()
	h := hold(t)
	mine := h.other(h.mine(0))
	if unknown := h.away.Version(mine); h.away.Version(mine) == unknown {
		t.Error("nothing was told, and the version stays")
	}
	h.away.look(t.Context())
	before := h.away.Version(mine)
	if h.away.Version(mine) != before || h.away.Version(h.other(h.mine(1))) == before && h.set.Version(h.mine(0).Number) != h.set.Version(h.mine(1).Number) {
		t.Error("the version changes, and the data does not")
	}
	h.apply(t, h.mine(0), "jane", "buy", time.Now())
	h.away.look(t.Context())
	if after := h.away.Version(mine); after == before || after != h.set.Version(h.mine(0).Number) || h.away.Version(mine) != after {
		t.Errorf("got %v, before %v", after, before)
	}
	if at := h.away.Synced(); at != h.set.FeedOf(h.mine(0).Number).Synced() || at == 0 {
		t.Errorf("got %d", at)
	}
}

// TestWatching: watchers see the events of the partition, under the numbers of
// their own server, also those from before, and go on when a holder is back.
func TestWatching(t *testing.T) {
	t.Parallel()
	h := hold(t)
	if h.away.Synced() != math.MaxUint64 {
		t.Error("nothing was told, and it knows how far the holder is")
	}
	for i := range 120 {
		h.apply(t, h.mine(i%2), fmt.Sprint("who ", i), "buy", time.Now())
	}
	var back []string
	err := h.away.Back(math.MaxUint64, func(e *trackway.Event) bool {
		if e.Project != h.other(h.mine((len(back)+1)%2)) {
			t.Errorf("an event of project %d", e.Project)
		}
		back = append(back, string(e.Properties))
		return len(back) < 60
	})
	if err != nil || len(back) != 60 || back[0] != `{"who":"who 119"}` || back[59] != `{"who":"who 60"}` {
		t.Errorf("got %q, %v", back, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for some, err := range h.away.Follow(ctx, math.MaxUint64) {
			if err != nil {
				t.Error(err)
			}
			for _, c := range some {
				if c.Event != nil {
					got <- fmt.Sprint(c.Project, " ", string(c.Event.Properties))
				}
			}
		}
	}()
	await := func(who string) {
		t.Helper()
		want := fmt.Sprint(h.other(h.mine(0)), ` {"who":"`, who, `"}`)
		select {
		case one := <-got:
			if one != want {
				t.Errorf("got %s, want %s", one, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s did not come", who)
		}
	}
	<-h.followed
	h.apply(t, h.mine(0), "a", "buy", time.Now())
	await("a")
	c, ids, err := h.away.Current(h.other(h.mine(0)), 0)
	if c != 0 || len(ids) > 0 || err != nil {
		t.Errorf("nobody: got %d %v, %v", c, ids, err)
	}
	s := h.set.Snapshot()
	jane, err := s.Find(h.mine(0).Number, trackway.Identifier{Name: "registered", Value: "a", Hard: true})
	_ = s.Close()
	if err != nil || jane == 0 {
		t.Fatal(jane, err)
	}
	if c, ids, err := h.away.Current(h.other(h.mine(0)), jane); c != jane || len(ids) != 1 || ids[0].Value != "a" || err != nil {
		t.Errorf("got %d %v, %v", c, ids, err)
	}
	var seqs []uint64
	for some, err := range h.away.Changes(2, 5) {
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range some {
			seqs = append(seqs, c.Number)
		}
	}
	if diff := cmp.Diff([]uint64{3, 4, 5}, seqs); diff != "" {
		t.Error(diff)
	}
	h.down.Store(true)
	if h.away.Back(math.MaxUint64, func(*trackway.Event) bool { t.Error("an event"); return false }) != nil {
		t.Error("nobody answers, and looking back fails")
	}
	if c, _, err := h.away.Current(h.other(h.mine(0)), 7); c != 7 || err != nil {
		t.Errorf("nobody answers: got %d, %v", c, err)
	}
	h.down.Store(false)
	cancel()
	<-ended
}
