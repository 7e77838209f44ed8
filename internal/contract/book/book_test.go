package book

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"trackway"
	"trackway/internal/allocs"
	"trackway/internal/canonjson"
	"trackway/internal/contract"
)

const (
	token = "t"
	now   = trackway.Micros(1_800_000_000_000_000)
)

var shop = []trackway.Project{{Number: 7, Name: "shop", Token: token}, {Number: 8, Name: "other", Token: "u"}}

// with returns a book with a contract for purchases.
func with(action contract.Action, src string) *Book {
	b := New()
	b.Reload(shop, map[string][]contract.Contract{token: {{Type: "purchase", Action: action, Schema: []byte(src)}}})
	return b
}

func purchase(properties string) *trackway.Command {
	return &trackway.Command{
		Kind: trackway.AddEvent, Project: 7, Type: "purchase", Received: now, Bytes: len(properties),
		Properties: canonjson.SplitObject(canonjson.AppendCanonical(nil, []byte(properties))),
	}
}

func text(c *trackway.Command) string { return string(canonjson.AppendObject(nil, c.Properties)) }

const priced = `{"properties":{"price":{"type":"number"},"items":{"items":{"required":["id"]}}},"required":["price"],"additionalProperties":{"type":"string"}}`

// TestActions: an event that breaks its contract is stored, refused, or stored
// with a mark. Others are left as they are.
func TestActions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		action            contract.Action
		sent, stored      string
		field, what, mark string
	}{
		"good":          {contract.Refuse, `{"price":1}`, "", "", "", ""},
		"reported":      {contract.Report, `{"price":"1"}`, "", "", "", ""},
		"refused":       {contract.Refuse, `{"price":"1"}`, "", "properties.price", "a number", ""},
		"required":      {contract.Refuse, `{}`, "", "properties.price", "", ""},
		"nested":        {contract.Refuse, `{"price":1,"items":[{}]}`, "", "properties.items[].id", "", ""},
		"quarantined":   {contract.Quarantine, `{"!":"a","a":"b","price":"1"}`, `{"!":"a","$quarantined":"price: expected a number","a":"b","price":"1"}`, "", "", ""},
		"marked before": {contract.Quarantine, `{"$quarantined":"x","price":"1"}`, `{"$quarantined":"price: expected a number","price":"1"}`, "", "", ""},
		"marked, good":  {contract.Quarantine, `{"$quarantined":"x","price":1}`, "", "", "", ""},
		"missing":       {contract.Quarantine, `{"a":"b"}`, `{"$quarantined":"price: is required","a":"b"}`, "", "", ""},
	} {
		b, c := with(test.action, priced), purchase(test.sent)
		sent := text(c)
		before := c.Properties
		err := b.Check(7, c)
		switch {
		case test.field == "" && err != nil, test.field != "" && (err == nil || err.Field != test.field || err.What != test.what):
			t.Errorf("%s: got %+v", name, err)
		}
		want := test.stored
		if want == "" {
			want = sent
		}
		if got := text(c); got != want || c.Bytes < len(got)-len(`{"":,}`)*len(c.Properties) {
			t.Errorf("%s: stored %s of %d bytes, want %s", name, got, c.Bytes, want)
		}
		if got := string(canonjson.AppendObject(nil, before)); got != sent {
			t.Errorf("%s: the properties that the caller has became %s", name, got)
		}
	}
}

// TestNotChecked: updates, other types and other projects are not checked, nor
// is anything if there is no contract.
func TestNotChecked(t *testing.T) {
	t.Parallel()
	b, bad := with(contract.Refuse, priced), purchase(`{"price":"1"}`)
	update := *bad
	update.Kind = trackway.UpdateCustomer
	visit := *bad
	visit.Type = "visit"
	for _, err := range []*trackway.Error{b.Check(7, &update), b.Check(7, &visit), b.Check(8, bad), New().Check(7, bad)} {
		if err != nil {
			t.Error(err)
		}
	}
	if v := b.View(7, "shop", now.Time(), nil); v.Contracts[0].Checked24h != 0 {
		t.Errorf("checked: %d", v.Contracts[0].Checked24h)
	}
}

// TestTooLargeToMark: an event that has no room for the mark is refused, so
// that each stored event can be imported again.
func TestTooLargeToMark(t *testing.T) {
	t.Parallel()
	c := purchase(`{"price":"1"}`)
	c.Bytes = trackway.MaxEventBytes - 10
	if err := with(contract.Quarantine, priced).Check(7, c); err == nil || err.Field != "properties.price" {
		t.Errorf("large: %v", err)
	}
	var many strings.Builder
	for i := range canonjson.MaxMembers {
		many.WriteString(`"p` + strconv.Itoa(i) + `":"",`)
	}
	c = purchase(`{` + strings.TrimSuffix(many.String(), ",") + `}`)
	if err := with(contract.Quarantine, priced).Check(7, c); err == nil || err.Field != "properties.price" {
		t.Errorf("wide: %v", err)
	}
}

// TestView counts by hour, contract and demand. Counts survive a reload that
// does not change the contract, and end after a day.
func TestView(t *testing.T) {
	t.Parallel()
	b := with(contract.Report, priced)
	send := func(properties string, at trackway.Micros) {
		c := purchase(properties)
		c.Received = at
		if err := b.Check(7, c); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		send(`{"price":"secret"}`, now)
	}
	send(`{}`, now-2*anHour)
	send(`{"price":1,"stranger@example.com":1}`, now)
	for range 5 {
		send(`{"price":1}`, now-5*anHour)
	}
	b.Reload(shop, map[string][]contract.Contract{token: {{Type: "purchase", Action: contract.Report, Schema: []byte(priced)}, {Type: "visit", Action: contract.Refuse, Schema: []byte(`{}`)}}})
	v := b.View(7, "shop", now.Time(), nil)
	v.Contracts[0].Since = 0
	want := Row{Type: "purchase", Action: contract.Report, Checked24h: 10, Broken24h: 5, Share: 0.5, Schema: []byte(priced), Broken: []Breach{
		{"price", "type", "a number", "a string", 3, now.Time().Unix()},
		{"*", "type", "a text", "a number", 1, now.Time().Unix()},
		{"price", "required", "to be there", "", 1, (now - 2*anHour).Time().Unix()},
	}}
	if diff := cmp.Diff(want, v.Contracts[0]); diff != "" || v.Contracts[1].Type != "visit" {
		t.Errorf("(-want): %s", diff)
	}
	if h := b.Hours(now.Time()); h[0] != (Hour{"shop", "purchase", 4, 4}) {
		t.Errorf("the last hours: %+v", h)
	}
	later := b.View(7, "shop", (now + 23*anHour).Time(), nil).Contracts[0]
	if later.Checked24h != 4 || len(later.Broken) != 2 {
		t.Errorf("23 hours later: %+v", later)
	}
	send(`{"price":"1"}`, now+40*anHour)
	later = b.View(7, "shop", (now + 40*anHour).Time(), nil).Contracts[0]
	if later.Checked24h != 1 || len(later.Broken) != 1 || later.Broken[0].Events24h != 1 {
		t.Errorf("40 hours later: %+v", later)
	}
	if v := b.View(7, "shop", now.Time(), func(string) bool { return false }); len(v.Contracts) != 0 {
		t.Errorf("a key that may read no type sees %+v", v)
	}
	b.Reload(shop, map[string][]contract.Contract{token: {{Type: "purchase", Action: contract.Refuse, Schema: []byte(priced)}}})
	if v := b.View(7, "shop", now.Time(), nil); v.Contracts[0].Checked24h != 0 {
		t.Error("a changed contract kept the counts of the one before")
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := with(contract.Quarantine, priced)
	for _, properties := range []string{`{"price":1}`, `{"price":"1"}`, `{}`} {
		if err := b.Check(7, purchase(properties)); err != nil {
			t.Fatal(err)
		}
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(b)
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP trackway_contract_broken_total Events that broke the contract of their type, by what became of them: report (stored), refuse, quarantine (stored with a mark).
# TYPE trackway_contract_broken_total counter
trackway_contract_broken_total{action="quarantine",project="shop",type="purchase"} 2
# HELP trackway_contract_checked_total Events that were checked by the contract of their type.
# TYPE trackway_contract_checked_total counter
trackway_contract_checked_total{project="shop",type="purchase"} 3
`))
	if err != nil {
		t.Error(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// TestAllocations: an event that keeps its contract costs no heap memory, nor
// does one without a contract.
func TestAllocations(t *testing.T) {
	b, good := with(contract.Refuse, priced), purchase(`{"price":1,"items":[{"id":1}]}`)
	empty := New()
	if got := allocs.PerRun(100, func() {
		if b.Check(7, good) != nil || empty.Check(7, good) != nil {
			t.Fatal("it is not good")
		}
	}); got > 0 {
		t.Errorf("%g allocations", got)
	}
}

// TestManyAtOnce checks, with the race detector, that checks and reloads may
// happen at the same time.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	b := with(contract.Report, priced)
	done := make(chan struct{})
	for range 3 {
		go func() {
			for i := range 500 {
				c := purchase(`{"price":"1"}`)
				c.Received += trackway.Micros(i) * anHour / 7
				_ = b.Check(7, c) // it is reported
			}
			done <- struct{}{}
		}()
	}
	for ended := 0; ended < 3; {
		select {
		case <-done:
			ended++
		default:
			b.Reload(shop, map[string][]contract.Contract{token: {{Type: "purchase", Action: contract.Report, Schema: []byte(priced)}}})
			b.View(7, "shop", time.Now(), nil)
		}
	}
	if v := b.View(7, "shop", (now + 500*anHour/7).Time(), nil); v.Contracts[0].Checked24h == 0 {
		t.Error("nothing was counted")
	}
}

// BenchmarkCheck is the cost of an event with a realistic contract: ten
// properties, of which four are required.
func BenchmarkCheck(b *testing.B) {
	book := with(contract.Refuse, `{"type":"object","required":["currency","price","product_id","quantity"],"properties":{
		"brand":{"type":"string","maxLength":80},"category":{"type":"string"},"coupon":{"type":["string","null"]},
		"currency":{"enum":["EUR","USD","CZK"]},"discount":{"type":"number","minimum":0,"maximum":100},"in_stock":{"type":"boolean"},
		"price":{"type":"number","minimum":0},"product_id":{"type":"string","minLength":1,"maxLength":64},"quantity":{"type":"integer","minimum":1},
		"title":{"type":"string","minLength":1}}}`)
	c := purchase(`{"brand":"Acme","category":"Shoes/Women","coupon":null,"currency":"EUR","discount":12.5,"in_stock":true,
		"price":129.9,"product_id":"p-1234567","quantity":2,"title":"Running shoe, blue, 42"}`)
	b.Run("contract", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if book.Check(7, c) != nil {
				b.Fatal("it is not good")
			}
		}
	})
	other := *c
	other.Type = "visit"
	b.Run("no contract for the type", func(b *testing.B) {
		for b.Loop() {
			_ = book.Check(7, &other)
		}
	})
	empty := New()
	b.Run("no contracts", func(b *testing.B) {
		for b.Loop() {
			_ = empty.Check(7, c)
		}
	})
}
