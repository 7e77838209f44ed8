package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/query"
	"trackway/internal/query/page"
	"trackway/internal/store/format"
)

// machineNames are deliberately not in alphabetical order: a search uses their
// order.
var machineNames = []string{"registered", "cookie", "email", "device"}

// maxFound is more than a model ever holds: pages that go in a circle exceed
// it.
const maxFound = 10_000

// checkPages reads lists in pages of a random size, and compares them with the
// result of a full scan of the model.
func (m *simulation) checkPages(t *rapid.T) {
	v := m.store.Snapshot()
	defer func() { _ = v.Close() }()
	limit := rapid.IntRange(1, 5).Draw(t, "rows of a page")
	newestFirst := rapid.Bool().Draw(t, "newest first")
	for _, project := range []uint32{1, 2} {
		m.checkSearches(t, v, project, page.Search{Names: machineNames, NewestFirst: newestFirst, Limit: limit})
		f := page.EventSearch{NewestFirst: newestFirst, Limit: limit}
		f.Types = rapid.SampledFrom([][]string{nil, {"e"}, {"merge", "f"}, {"none"}}).Draw(t, "types")
		f.Since = rapid.SampledFrom([]trackway.Micros{0, 0, 1, 256, m.now / 2, 1 << 40}).Draw(t, "since")
		f.Until = rapid.SampledFrom([]trackway.Micros{0, 0, 1, 256, m.now, 1 << 50}).Draw(t, "until")
		m.checkReceived(t, v, project, f)
		m.checkSums(t, v, project)
		for _, c := range m.model.customers {
			if c.project == project && c.holder.MergedInto == 0 {
				m.checkTimeline(t, v, c, f)
			}
			if got, err := v.Survivor(project, c.holder.Customer); (c.project == project) != (got != 0) || err != nil ||
				got != 0 && got != m.model.survivor(c.holder.Customer) {
				t.Fatalf("customer %d is now %d in project %d (%v)", c.holder.Customer, got, project, err)
			}
		}
	}
}

func (m *simulation) checkSearches(t *rapid.T, v query.Snapshot, project uint32, f page.Search) {
	for _, text := range []string{"", "a", "a\x00", "b", "cookie=a", "email=a", "a=x", "b\x00=1", `a={"a":[1]}`, "none=1"} {
		f := f
		s := page.ParseSearch(text, machineNames)
		f.Prefix, f.Property, f.Value = s.Prefix, s.Property, s.Value
		got, want := mustCustomers(t, v, project, f), m.model.search(project, f)
		if d := diff(want, got); d != "" {
			t.Fatalf("searching for %q in project %d, %+v (-want): %s", text, project, f, d)
		}
	}
}

// mustCustomers reads all pages. It fails if a page is too long, or the last
// one is empty.
func mustCustomers(t *rapid.T, v query.Snapshot, project uint32, f page.Search) (found []trackway.Customer) {
	for {
		p, err := page.Customers(t.Context(), v, project, f)
		if err != nil || !p.Complete || len(p.Rows) > f.Limit || p.Next != "" && (len(p.Rows) < f.Limit || len(found) > maxFound) ||
			f.Cursor != "" && len(p.Rows) == 0 {
			t.Fatalf("%+v: %v %+v", f, err, p)
		}
		for _, row := range p.Rows {
			found = append(found, row.Customer)
		}
		if f.Cursor = p.Next; p.Next == "" {
			return found
		}
	}
}

func (m *model) search(project uint32, f page.Search) (found []trackway.Customer) {
	first := make(map[trackway.Customer]string) // the identifier that finds a customer
	for _, c := range m.customers {
		if c.project != project || c.holder.MergedInto != 0 || !c.matches(f, first) {
			continue
		}
		found = append(found, c.holder.Customer)
	}
	if f.Prefix != "" {
		slices.SortFunc(found, func(a, b trackway.Customer) int { return cmp.Compare(first[a], first[b]) })
	} else if f.NewestFirst {
		slices.Reverse(found)
	}
	return found
}

func (c *modelCustomer) matches(f page.Search, first map[trackway.Customer]string) bool {
	switch {
	case slices.Contains(f.Names, f.Property):
		return slices.ContainsFunc(plain(c.holder.IDs), func(id trackway.Identifier) bool { return id.Name == f.Property && id.Value == f.Value })
	case f.Property != "":
		p, ok := c.props[f.Property]
		return ok && (string(p.Value) == `"`+f.Value+`"` || string(p.Value) == f.Value)
	case f.Prefix == "":
		return true
	}
	for i, name := range f.Names {
		for _, id := range c.holder.IDs {
			by := fmt.Sprint(i, id.Value)
			was, ok := first[c.holder.Customer]
			if id.Name == name && strings.HasPrefix(id.Value, f.Prefix) && (!ok || by < was) {
				first[c.holder.Customer] = by
			}
		}
	}
	return first[c.holder.Customer] != ""
}

// mustEventPages reads all pages, like mustCustomers, and returns the sequence
// numbers.
func mustEventPages(t *rapid.T, f page.EventSearch, read func(page.EventSearch) (page.EventList, error)) (found []uint64) {
	for {
		p, err := read(f)
		if err != nil || !p.Complete || len(p.Rows) > f.Limit || p.Next != "" && (len(p.Rows) < f.Limit || len(found) > maxFound) ||
			f.Cursor != "" && len(p.Rows) == 0 {
			t.Fatalf("%+v: %v %+v", f, err, p)
		}
		for i := range p.Rows {
			found = append(found, p.Rows[i].Seq)
		}
		if f.Cursor = p.Next; p.Next == "" {
			return found
		}
	}
}

func chosen(f *page.EventSearch, e *trackway.Event, at trackway.Micros) bool {
	return (len(f.Types) == 0 || slices.Contains(f.Types, e.Type)) && at >= f.Since && (f.Until == 0 || at < f.Until)
}

func (m *simulation) checkReceived(t *rapid.T, v query.Snapshot, project uint32, f page.EventSearch) {
	got := mustEventPages(t, f, func(f page.EventSearch) (page.EventList, error) { return page.Received(t.Context(), v, project, f) })
	var want []uint64
	for _, e := range m.model.events {
		if e.Project == project && !e.expired && chosen(&f, &e.Event, e.Received) {
			want = append(want, e.Seq)
		}
	}
	if f.NewestFirst {
		slices.Reverse(want)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("events of project %d, %+v: got %d, want %d", project, f, got, want)
	}
}

func (m *simulation) checkTimeline(t *rapid.T, v query.Snapshot, c *modelCustomer, f page.EventSearch) {
	customer := c.holder.Customer
	got := mustEventPages(t, f, func(f page.EventSearch) (page.EventList, error) {
		return page.Timeline(t.Context(), v, c.project, customer, f)
	})
	var all []uint64 // in the order that checkEvents compares with the model
	if err := v.Events(c.project, customer, f.NewestFirst, func(e *trackway.Event) bool {
		if chosen(&f, e, e.Time) {
			all = append(all, e.Seq)
		}
		return true
	}); err != nil || !slices.Equal(got, all) {
		t.Fatalf("timeline of %d, %+v: got %d, want %d (%v)", customer, f, got, all, err)
	}
	merges, err := page.Merges(t.Context(), v, c.project, customer, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var want []page.Merge
	for _, e := range m.model.events {
		if e.merge && !e.expired && m.model.survivor(e.Customer) == customer {
			want = append(want, page.Merge{
				Seq: e.Seq, Time: e.Time, Absorbed: e.properties[0].Value, Cause: e.properties[1].Value, Survivor: e.properties[2].Value,
			})
		}
	}
	slices.SortFunc(want, func(a, b page.Merge) int { return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(b.Seq, a.Seq)) })
	if d := diff(want, merges); d != "" {
		t.Fatalf("merges of %d (-want): %s", customer, d)
	}
}

func (m *simulation) checkSums(t *rapid.T, v query.Snapshot, project uint32) {
	typ := rapid.SampledFrom([]string{"", "e", "merge", "none"}).Draw(t, "type")
	since := rapid.SampledFrom([]query.Hour{0, 0, 1, query.HourOf(1 << 40)}).Draw(t, "since hour")
	until := rapid.SampledFrom([]query.Hour{0, 0, 1, query.HourOf(1<<40) + 1}).Draw(t, "until hour")
	for _, by := range []query.By{query.ByTime, query.ByReceived} {
		want := make(map[page.Sum]uint64)
		exact := make(map[query.Count]bool) // with the numbers of the first and the last event
		ranges := make(map[page.Sum]query.Count)
		for _, e := range m.model.events {
			hour := query.HourOf(e.Received)
			if by == query.ByTime {
				hour = query.HourOf(e.Time)
			}
			if e.Project == project && (typ == "" || typ == e.Type) && hour >= since && (until == 0 || hour < until) {
				month := time.Date(hour.Time().Year(), hour.Time().Month(), 1, 0, 0, 0, 0, time.UTC)
				want[page.Sum{Start: query.HourOf(trackway.MicrosOf(month)), Type: e.Type}]++
				n, ok := ranges[page.Sum{Start: hour, Type: e.Type}]
				if !ok {
					n = query.Count{Type: e.Type, Hour: hour, First: e.Seq}
				}
				n.Events, n.Last = n.Events+1, e.Seq
				ranges[page.Sum{Start: hour, Type: e.Type}] = n
			}
		}
		for _, n := range ranges {
			exact[n] = true
		}
		r := query.CountRange{By: by, Type: typ, Since: since, Until: until}
		counts := make(map[query.Count]bool)
		if err := v.Counts(project, r, func(n query.Count) bool { counts[n] = true; return true }); err != nil {
			t.Fatal(err)
		}
		if d := diff(exact, counts); d != "" {
			t.Fatalf("counts %+v of project %d (-want): %s", r, project, d)
		}
		got, full, err := page.Sums(t.Context(), v, project, r, page.Monthly, 1000)
		if full || err != nil {
			t.Fatal(full, err)
		}
		if d := diff(want, got); d != "" {
			t.Fatalf("counts %+v of project %d (-want): %s", r, project, d)
		}
	}
}

func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// TestPagesUnderDeadline: even if the deadline has always passed, each page
// makes progress, and all of them together find everything.
func TestPagesUnderDeadline(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	const customers = 500
	for i := range customers {
		value := "0"
		if i%100 == 7 {
			value = "1"
		}
		mustApply(t, s, update(1, map[string]string{"p": value}, identifierOf("cookie", fmt.Sprintf("c%03d", i))),
			event(fmt.Sprint("e", value), trackway.Micros(i), nil, cookie1))
	}
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	ctx := ended(t)
	for _, f := range []page.Search{{Property: "p", Value: "1"}, {Property: "p", Value: "1", NewestFirst: true}, {Names: []string{"cookie"}, Prefix: "c"}} {
		f.Limit = 1000
		found, pages := 0, 0
		for ; pages == 0 || f.Cursor != ""; pages++ {
			p, err := page.Customers(ctx, v, demo, f)
			if err != nil || p.Complete != (p.Next == "") {
				t.Fatal(err, p)
			}
			found, f.Cursor = found+len(p.Rows), p.Next
		}
		if want := map[bool]int{true: 5, false: customers + 1}[f.Property != ""]; found != want || pages < 5 {
			t.Errorf("%+v: got %d customers on %d pages, want %d", f, found, pages, want)
		}
	}
	for name, read := range map[string]func(page.EventSearch) (page.EventList, error){
		"received": func(f page.EventSearch) (page.EventList, error) { return page.Received(ctx, v, demo, f) },
		"timeline": func(f page.EventSearch) (page.EventList, error) { return page.Timeline(ctx, v, demo, 2, f) },
	} {
		f := page.EventSearch{Types: []string{"e1"}, Limit: 1000}
		found, pages := 0, 0
		for ; pages == 0 || f.Cursor != ""; pages++ {
			p, err := read(f)
			if err != nil || p.Complete != (p.Next == "") {
				t.Fatal(err, p)
			}
			found, f.Cursor = found+len(p.Rows), p.Next
		}
		if found != 5 || pages < 5 {
			t.Errorf("%s: got %d events on %d pages", name, found, pages)
		}
	}
	if _, _, err := page.Sums(ctx, v, demo, query.CountRange{By: query.ByTime}, page.Daily, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("sums: %v", err)
	}
}

// TestDeadlineAmongWhatIsLeftOut: a walk that finds nothing for a long time
// still notices its deadline, and the page says where to continue.
func TestDeadlineAmongWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	const absorbed = 500
	mustApply(t, s, event("e", 1, nil, reg1))
	for i := range absorbed {
		cookie := identifierOf("cookie", strconv.Itoa(i))
		mustApply(t, s, update(2, nil, cookie), update(3, nil, reg1, cookie))
	}
	mustApply(t, s, update(4, nil, identifierOf("registered", "r2")))
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	f := page.Search{Limit: 10}
	found, pages := 0, 0
	for ; pages == 0 || f.Cursor != ""; pages++ {
		p, err := page.Customers(ended(t), v, demo, f)
		if err != nil || p.Searched > 100 || p.Complete != (p.Next == "") || p.Next != "" && p.Next == f.Cursor {
			t.Fatal(err, p)
		}
		found, f.Cursor = found+len(p.Rows), p.Next
	}
	if found != 2 || pages < 5 {
		t.Errorf("got %d customers on %d pages", found, pages)
	}
	profiles := 0
	err := query.Profiles(ended(t), v, demo, func(*trackway.Profile) bool { profiles++; return true })
	if profiles > 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("got %d profiles, %v", profiles, err)
	}
	events := make([]trackway.Command, 100)
	for i := range events {
		events[i] = event("e", trackway.Micros(1000+i), nil, reg1)
	}
	mustApply(t, s, events...)
	late := s.Snapshot()
	defer func() { _ = late.Close() }()
	merges, passed := 0, 0
	r := query.TimelineRange{Merges: true, NewestFirst: true, Passed: func() bool { passed++; return passed < 50 }}
	err = late.Timeline(demo, 1, r, func(*trackway.Event, query.Place) bool { merges++; return true })
	if merges != 0 || passed != 50 || err != nil {
		t.Errorf("found %d merges after passing over %d events, %v", merges, passed, err)
	}
	if m, err := page.Merges(ended(t), late, demo, 1, 10); len(m) != 0 || err != nil {
		t.Errorf("got %d merges beyond the deadline, %v", len(m), err)
	}
}

// TestLargeRows: a page ends when it has enough bytes, and the next one
// continues from there.
func TestLargeRows(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	large := `"` + strings.Repeat("x", 700_000) + `"`
	for i := range 30 {
		mustApply(t, s, event("e", trackway.Micros(i), map[string]string{"a": large}, cookie1))
	}
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	f, found := page.EventSearch{Limit: 1000}, 0
	for first := true; first || f.Cursor != ""; first = false {
		p, err := page.Timeline(t.Context(), v, demo, 1, f)
		if err != nil || len(p.Rows) > 13 {
			t.Fatal(err, len(p.Rows))
		}
		found, f.Cursor = found+len(p.Rows), p.Next
	}
	if found != 30 {
		t.Errorf("got %d events, want 30", found)
	}
}

// TestErasedRecord: all lists skip an event that is no longer in the log.
func TestErasedRecord(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	mustApply(t, s, event("a", 1, nil, cookie1), event("b", 2, nil, cookie1), event("c", 3, nil, cookie1))
	if err := s.db.Delete(format.AppendLogKey(nil, 2), nil); err != nil {
		t.Fatal(err)
	}
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	for name, read := range map[string]func() (page.EventList, error){
		"received": func() (page.EventList, error) { return page.Received(t.Context(), v, demo, page.EventSearch{Limit: 9}) },
		"timeline": func() (page.EventList, error) {
			return page.Timeline(t.Context(), v, demo, 1, page.EventSearch{Limit: 9})
		},
	} {
		p, err := read()
		if err != nil || len(p.Rows) != 2 || p.Rows[0].Type != "a" || p.Rows[1].Type != "c" {
			t.Errorf("%s: got %v, %v", name, p.Rows, err)
		}
	}
}

// TestForeignCursors: a cursor of another query, or an invented one, is refused
// by name.
func TestForeignCursors(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	mustApply(t, s, event("a", 1, nil, cookie1), event("a", 2, nil, cookie2))
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	p, err := page.Customers(t.Context(), v, demo, page.Search{Limit: 1})
	if err != nil || p.Next == "" {
		t.Fatal(p, err)
	}
	for _, cursor := range []page.Cursor{p.Next, "x", "!", "bA", "bAEB", "dP__________AQAA", "aQ", p.Next + "A"} {
		_, received := page.Received(t.Context(), v, demo, page.EventSearch{Limit: 1, Cursor: cursor})
		_, timeline := page.Timeline(t.Context(), v, demo, 1, page.EventSearch{Limit: 1, Cursor: cursor})
		_, prefix := page.Customers(t.Context(), v, demo, page.Search{Limit: 1, Cursor: cursor, Prefix: "c", Names: []string{"cookie"}})
		for _, err := range []error{received, timeline, prefix} {
			var refused *trackway.Error
			if !errors.As(err, &refused) || refused.Field != "cursor" {
				t.Errorf("cursor %q: got %v", cursor, err)
			}
		}
	}
}

// TestManyTypes: types beyond those counted by name are counted together, even
// after the store was reopened.
func TestManyTypes(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	const more = 7
	for i := range query.MaxTypes + more {
		mustApply(t, s, event(fmt.Sprint("type ", i), 1, nil, cookie1))
	}
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	sums, _, err := page.Sums(t.Context(), v, demo, query.CountRange{By: query.ByTime}, page.Hourly, 2*query.MaxTypes)
	if len(sums) != query.MaxTypes+1 || sums[page.Sum{}] != more || sums[page.Sum{Type: "type 999"}] != 1 || err != nil {
		t.Errorf("got %d sums, %d events of other types (%v)", len(sums), sums[page.Sum{}], err)
	}
	if _, full, err := page.Sums(t.Context(), v, demo, query.CountRange{By: query.ByTime}, page.Hourly, 10); !full || err != nil {
		t.Errorf("more sums than asked for: %v %v", full, err)
	}
	// A search by type finds the event of either.
	for _, typ := range []string{"type 3", "type 1003"} {
		found, err := page.Received(t.Context(), v, demo, page.EventSearch{Types: []string{typ}, Limit: 10})
		if err != nil || len(found.Rows) != 1 || found.Rows[0].Type != typ {
			t.Errorf("%s: got %d events (%v), want the one", typ, len(found.Rows), err)
		}
	}
}

// TestForgedMerge: an event that looks like the record of a merge is not
// treated as one.
func TestForgedMerge(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	forged := event(trackway.MergeType, 5, map[string]string{"absorbed_ids": `{"registered":"boss"}`}, cookie1)
	forged.TimeGiven = false
	mustApply(t, s, forged, event("a", 6, nil, cookie2), update(7, nil, cookie1, cookie2, reg1))
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	merges, err := page.Merges(t.Context(), v, demo, 1, 10)
	if err != nil || len(merges) != 1 || merges[0].Time != 7 ||
		string(merges[0].Cause) != string(canonjson.AppendIDs(nil, []trackway.Identifier{cookie1, cookie2, reg1})) {
		t.Errorf("got %+v, %v", merges, err)
	}
}

// TestPagesOfSeveralTimelines: pages cover all timelines of a customer, even if
// the same event is on two of them.
func TestPagesOfSeveralTimelines(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	for i := range maxMoved + 5 {
		same := event("e", trackway.Micros(i/3), map[string]string{"n": strconv.Itoa(i)}, cookie1)
		mustApply(t, s, same)
		same.IDs = []trackway.Identifier{cookie2}
		mustApply(t, s, same)
	}
	mustApply(t, s, update(1, nil, cookie1, cookie2, reg1))
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	for _, newestFirst := range []bool{false, true} {
		var want, got []uint64
		if err := v.Events(demo, 1, newestFirst, func(e *trackway.Event) bool { want = append(want, e.Seq); return true }); err != nil {
			t.Fatal(err)
		}
		f := page.EventSearch{NewestFirst: newestFirst, Limit: 7}
		for first := true; first || f.Cursor != ""; first = false {
			p, err := page.Timeline(t.Context(), v, demo, 1, f)
			if err != nil {
				t.Fatal(err)
			}
			for i := range p.Rows {
				got = append(got, p.Rows[i].Seq)
			}
			f.Cursor = p.Next
		}
		if len(want) != 2*(maxMoved+5)+1 || !slices.Equal(got, want) {
			t.Errorf("newest first %v: got %d events, want %d", newestFirst, len(got), len(want))
		}
	}
}
