package catalogue

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/partition"
)

// TestView: types and properties with their times, shares, JSON types and
// shapes; a rare type of values is visible.
func TestView(t *testing.T) {
	t.Parallel()
	l := new(fakeLog)
	for i := range 100 {
		amount := "12.50"
		if i == 70 {
			amount = `"free"`
		}
		l.add("purchase", i, began+trackway.Micros(i)*1e6, fmt.Sprintf(`{"amount":%s,"currency":"EUR","email":"p%d@example.com","paid":true,"to":null}`, amount, i))
	}
	for i := range 300 {
		l.add("visit", i, began+3*day, `{"page":"/a","tags":[],"utm":{"a":1}}`)
	}
	l.changes = append(l.changes, change.Change{Number: 401, Kind: change.Changed, Project: 1})
	l.add("visit", 1, began+20*day, `{"page":"/bc","since":"2026-11-22"}`)
	c := open(t, l, filepath.Join(t.TempDir(), File), 1000)
	c.mustLearn(t)
	v := c.view(began + 20*day + 60e6)

	if v.Events != 401 || v.LookedAt != 401 || !v.Exact || v.OtherTypes != 0 || *v.Since != began.Time().Unix() || *v.Until != (began+20*day).Time().Unix() {
		t.Errorf("got %+v", v)
	}
	if v.Types[0].Type != "visit" {
		t.Errorf("the first type is %s", v.Types[0].Type)
	}
	purchase, visit := v.typeOf(t, "purchase"), v.typeOf(t, "visit")
	if purchase.Events != 100 || purchase.Share != 0.2494 || purchase.Events24h != 0 || purchase.LastSeen != purchase.FirstSeen+99 || purchase.New {
		t.Errorf("got %+v", purchase)
	}
	if visit.Events24h != 1 || visit.New {
		t.Errorf("visit: got %d events in 24 h, new %t", visit.Events24h, visit.New)
	}
	if got := c.Beginnings(1); len(got) != 1 || got[0] != (Beginning{"visit", (began + 3*day).Time()}) {
		t.Errorf("types that came later: got %v", got)
	}
	amount := purchase.propertyOf(t, "amount")
	want := []Values{{"number", 0.99, "number with up to 2 digits after the point"}, {"string", 0.01, "text of 4 characters"}}
	if !amount.Mixed || !slices.Equal(amount.Values, want) {
		t.Errorf("amount: got %+v", amount)
	}
	for name, want := range map[string]string{
		"currency": "text of 3 characters", "email": "e-mail addresses of 14–15 characters", "paid": "boolean", "to": "null",
	} {
		if p := purchase.propertyOf(t, name); p.Mixed || len(p.Values) != 1 || p.Values[0].Shape != want || p.Share != 1 {
			t.Errorf("%s: got %+v", name, p)
		}
	}
	if got := purchase.propertyOf(t, "currency").Examples; len(got) != 1 || string(got[0]) != `"EUR"` {
		t.Errorf("examples of currency: %s", got)
	}
	since := visit.propertyOf(t, "since")
	if !since.New || since.Share != 1 || since.Values[0].Shape != "dates or times of 10 characters" {
		t.Errorf("since: got %+v", since)
	}
	if page := visit.propertyOf(t, "page"); page.New || page.Share != 1 || page.Values[0].Shape != "text of 2–3 characters" {
		t.Errorf("page: got %+v", page)
	}
}

// TestAnswer: a key sees the types that it may read; the type may be chosen.
func TestAnswer(t *testing.T) {
	t.Parallel()
	l := new(fakeLog)
	l.add("a", 1, began, `{}`)
	l.add("b", 1, began, `{}`)
	c := open(t, l, filepath.Join(t.TempDir(), File), 1000)
	c.mustLearn(t)
	all := &trackway.Key{Permissions: map[trackway.Permission][]string{trackway.GetEvents: nil}}
	some := &trackway.Key{Permissions: map[trackway.Permission][]string{trackway.GetEvents: {"a"}}}
	for _, test := range []struct {
		key   *trackway.Key
		query string
		want  string // types, or an error's code
		sum   uint64
	}{
		{all, "", "a b", 2},
		{all, "type=b", "b", 2},
		{all, "type=a&type=b", "a b", 2},
		{all, "type=c", "not_found", 0},
		{all, "type=a&type=c", "not_found", 0},
		{all, "type=", "invalid", 0},
		{all, "typ=c", "invalid", 0},
		{some, "", "a", 1},
		{some, "type=a", "a", 1},
		{some, "type=b", "not_found", 0},
	} {
		body, err := c.Answer(&shop, test.key, test.query, began.Time())
		if refused, ok := errors.AsType[*trackway.Error](err); ok {
			if string(refused.Code) != test.want {
				t.Errorf("%q: got %v", test.query, refused)
			}
			continue
		}
		var v View
		if err := errors.Join(err, json.Unmarshal(body, &v)); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, one := range v.Types {
			names = append(names, one.Type)
		}
		if got := strings.Join(names, " "); got != test.want || v.Events != test.sum {
			t.Errorf("%q: got %s of %d events", test.query, got, v.Events)
		}
	}
}

// TestChangedTypes: a JSON type counts as changed if it came at least a day
// after another one. Null counts for neither, and the file keeps the times.
func TestChangedTypes(t *testing.T) {
	t.Parallel()
	l := new(fakeLog)
	l.add("buy", 1, began, `{"always":1,"mixed":1,"later":null,"price":1,"twice":"a"}`)
	l.add("buy", 1, began+day/2, `{"always":2,"mixed":"a","later":null,"price":2,"twice":"b"}`)
	l.add("buy", 2, began+2*day, `{"always":null,"mixed":2,"later":3,"price":"3","twice":1}`)
	l.add("buy", 2, began+2*day+1e6, `{"always":3,"mixed":"b","later":3,"price":"4","twice":[]}`)
	path := filepath.Join(t.TempDir(), File)
	c := open(t, l, path, 1000)
	c.mustLearn(t)
	at := (began + 2*day).Time()
	want := []Changed{
		{"buy", "price", "number", "string", at, 2},
		{"buy", "twice", "string", "number", at, 1},
		{"buy", "twice", "string", "array", at.Add(time.Second), 1},
	}
	if diff := cmp.Diff(want, c.ChangedTypes(1)); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	if got := c.ChangedTypes(2); got != nil {
		t.Errorf("another project: got %v", got)
	}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, open(t, l, path, 1000).ChangedTypes(1)); diff != "" {
		t.Error("read again (-want +got):\n" + diff)
	}
}

// TestChangedTypesOfAnOldFile: a file of an earlier version does not say when a
// JSON type came. Such a type is not new.
func TestChangedTypesOfAnOldFile(t *testing.T) {
	t.Parallel()
	p := property{span: span{First: began, Seen: 3}}
	p.Kinds[text], p.Kinds[number] = 2, 1
	if got := p.changed(); got != nil {
		t.Errorf("got %v", got)
	}
	p.Kinds[boolean], p.Began[boolean] = 1, began+day
	if got := p.changed(); len(got) != 1 || got[0].Now != "boolean" || got[0].Before != "string" {
		t.Errorf("got %v", got)
	}
}

// TestElsewhere: nothing is known of projects in partitions that other servers
// hold.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	inSecond := partition.Global(1, 1)
	s := Together(nil, nil, nil)
	if came, changed := s.Beginnings(inSecond), s.ChangedTypes(inSecond); came != nil || changed != nil {
		t.Errorf("got %v, %v", came, changed)
	}
}
