package book

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/contract"
)

// View is what readers get of a project's contracts.
type View struct {
	Project   string `json:"project"`
	Contracts []Row  `json:"contracts"` // by type
}

// Row is a contract with the counts of this server.
type Row struct {
	Type       string          `json:"type"`
	Action     contract.Action `json:"action"`
	Since      int64           `json:"since"`       // Unix seconds; when this server began to count
	Checked24h uint64          `json:"checked_24h"` // events
	Broken24h  uint64          `json:"broken_24h"`
	Share      float64         `json:"share"` // of the checked events that broke it, up to 1
	Broken     []Breach        `json:"broken"`
	Schema     json.RawMessage `json:"schema"`
}

// Breach is a demand that events broke.
type Breach struct {
	Property  string `json:"property"` // such as items[].price; empty: the properties as a whole
	Keyword   string `json:"keyword"`
	Expected  string `json:"expected"`
	Got       string `json:"got"` // the kind of the last value at fault, or empty
	Events24h uint64 `json:"events_24h"`
	Last      int64  `json:"last"` // Unix seconds
}

// View returns the contracts of a project. If may is not nil, the view has only
// the types for which it returns true.
func (b *Book) View(number uint32, name string, now time.Time, may func(typ string) bool) *View {
	v := &View{Project: name, Contracts: []Row{}}
	in := b.inUse.Load()
	if in == nil || in.projects[number] == nil {
		return v
	}
	for typ, c := range in.projects[number].types {
		if may == nil || may(typ) {
			v.Contracts = append(v.Contracts, c.view(trackway.MicrosOf(now)))
		}
	}
	slices.SortFunc(v.Contracts, func(a, b Row) int { return strings.Compare(a.Type, b.Type) })
	return v
}

func (c *agreed) view(now trackway.Micros) Row {
	r := Row{Type: c.Type, Action: c.Action, Since: c.tally.since.Unix(), Broken: []Breach{}, Schema: c.Schema}
	r.Checked24h, r.Broken24h = c.tally.sum(now, shownHours)
	if r.Checked24h > 0 {
		r.Share = float64(r.Broken24h) / float64(r.Checked24h)
	}
	c.tally.mu.Lock()
	defer c.tally.mu.Unlock()
	for i, b := range c.tally.demands {
		d := &c.schema.Demands()[i]
		one := Breach{Property: d.Path, Keyword: d.Keyword, Expected: cmp.Or(d.What, "to be there"), Last: b.last.Time().Unix()}
		if b.got != 0 {
			one.Got = b.got.String()
		}
		for h := max(int64(now/anHour)-shownHours+1, b.newest-slots+1); h <= b.newest; h++ {
			one.Events24h += b.hours[h%slots]
		}
		if one.Events24h > 0 {
			r.Broken = append(r.Broken, one)
		}
	}
	slices.SortFunc(r.Broken, func(a, b Breach) int {
		return cmp.Or(cmp.Compare(b.Events24h, a.Events24h), strings.Compare(a.Property, b.Property), strings.Compare(a.Keyword, b.Keyword))
	})
	return r
}

var errNoContract = &trackway.Error{Code: trackway.NotFound, Field: "type", Msg: "There is no contract for this type of events."}

// Answer answers a question about a project: about the contracts of some types,
// or of all that the key may read.
func (b *Book) Answer(p *trackway.Project, key *trackway.Key, query string, now time.Time) ([]byte, error) {
	types, may, err := ask.TypesFor(key, query)
	if err != nil {
		return nil, err
	}
	v := b.View(p.Number, p.Name, now, may)
	if len(types) > 0 {
		v.Contracts = slices.DeleteFunc(v.Contracts, func(r Row) bool { return !slices.Contains(types, r.Type) })
		for _, name := range types {
			if !slices.ContainsFunc(v.Contracts, func(r Row) bool { return r.Type == name }) {
				return nil, errNoContract
			}
		}
	}
	return json.Marshal(v)
}

// Hour is what one contract saw in the running hour and the one before.
type Hour struct {
	Project, Type   string
	Checked, Broken uint64
}

// Hours returns what each contract saw.
func (b *Book) Hours(now time.Time) (all []Hour) {
	in := b.inUse.Load()
	if in == nil {
		return nil
	}
	for _, p := range in.projects {
		for typ, c := range p.types {
			h := Hour{Project: p.name, Type: typ}
			h.Checked, h.Broken = c.tally.sum(trackway.MicrosOf(now), 2)
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b Hour) int {
		return cmp.Or(strings.Compare(a.Project, b.Project), strings.Compare(a.Type, b.Type))
	})
	return all
}

var (
	checkedDesc = prometheus.NewDesc("trackway_contract_checked_total",
		"Events that were checked by the contract of their type.", []string{"project", "type"}, nil)
	brokenDesc = prometheus.NewDesc("trackway_contract_broken_total",
		"Events that broke the contract of their type, by what became of them: report (stored), refuse, quarantine (stored with a mark).",
		[]string{"project", "type", "action"}, nil)
)

// Describe implements [prometheus.Collector].
func (*Book) Describe(out chan<- *prometheus.Desc) {
	out <- checkedDesc
	out <- brokenDesc
}

// Collect implements [prometheus.Collector]. The labels are from the
// configuration, so their number does not depend on the traffic.
func (b *Book) Collect(out chan<- prometheus.Metric) {
	in := b.inUse.Load()
	if in == nil {
		return
	}
	for _, p := range in.projects {
		for typ, c := range p.types {
			out <- prometheus.MustNewConstMetric(checkedDesc, prometheus.CounterValue, float64(c.tally.checked.Load()), p.name, typ)
			out <- prometheus.MustNewConstMetric(brokenDesc, prometheus.CounterValue, float64(c.tally.broken.Load()), p.name, typ, string(c.Action))
		}
	}
}
