package dashboard

import (
	"cmp"
	"slices"
	"time"

	"trackway"
	"trackway/internal/control/members"
	"trackway/internal/fleet"
	"trackway/internal/people"
	"trackway/internal/query"
	"trackway/internal/query/page"
	"trackway/internal/rates"
)

const (
	mostTypes = 50   // that are listed
	mostSums  = 5000 // that are added up
	aDay      = 24 * time.Hour
	aMonth    = 30 * aDay
)

// start answers with what every page needs, once.
func (q *request) start() error {
	if q.unchanged(q.version(append(q.versions(), q.session.Expires.Unix(), q.Limits.Set(), q.Fleet.Self())...)) {
		return nil
	}
	type project struct {
		Name     string   `json:"name"`
		Token    string   `json:"token"`
		Hard     []string `json:"hard"`
		Soft     []string `json:"soft"`
		Personal []string `json:"personal"`
		Public   *string  `json:"public_key"`

		Role people.Role `json:"role"`
	}
	var others apart
	projects, types := []project{}, map[string][]string{}
	for _, p := range q.projects() {
		one := project{p.Name, p.Token, list(p.Hard), list(p.Soft), list(p.Personal), nil, q.roleIn(p)}
		if q.seesPersonal(p) {
			one.Public = publicKey(p)
		}
		projects = append(projects, one)
		types[p.Token] = []string{} // without the data, the page just cannot propose any
		err := others.each(p, func() error {
			counts, err := q.typeCounts(p, aMonth)
			if err == nil {
				types[p.Token] = mostFirst(counts)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	self := q.Fleet.Self()
	type server struct {
		Name    string  `json:"name"`
		Region  string  `json:"region"`
		Version string  `json:"version"`
		URL     string  `json:"url"`
		Started seconds `json:"started"`
	}
	type user struct {
		Name string      `json:"name"` // empty: the one password
		Role people.Role `json:"role"` // for all projects; empty: none
	}
	return q.answer(struct {
		Server   server              `json:"server"`
		User     user                `json:"user"`
		Expires  seconds             `json:"user_expires"`
		Projects []project           `json:"projects"`
		Limits   map[string]rate     `json:"limits"`
		Types    map[string][]string `json:"types"`
	}{
		server{self.Name, self.Region, q.Version, self.URL, secondsOf(q.Rates.Started())},
		user{q.user.Name, q.user.All},
		secondsOf(q.session.Expires), projects, q.dashboardRates(), types,
	})
}

// list returns a copy that is never nil, which would be null in JSON.
func list(names []string) []string { return append([]string{}, names...) }

// versions returns the versions of all projects' data.
func (q *request) versions() (versions []any) {
	for _, p := range q.projects() {
		versions = append(versions, q.Store.Version(p.Number))
	}
	return versions
}

// publicKey returns a public key that can send any event, as an example, or nil
// if there is no such key.
func publicKey(p *trackway.Project) *string {
	for i := range p.Keys {
		k := &p.Keys[i]
		if k.Kind == trackway.PublicKey && k.May(trackway.SetEvents) && !k.Restricted(trackway.SetEvents) {
			return &k.ID
		}
	}
	return nil
}

// rate is a summary of a limit.
type rate struct {
	Limit  uint32 `json:"limit"`
	Window int64  `json:"window"` // seconds
}

// dashboardRates returns the limits that count requests of the pages.
func (q *request) dashboardRates() map[string]rate {
	found := map[string]rate{}
	for _, p := range q.Limits.Set().Policies() {
		if slices.Contains(q.Limits.Set().Counting("GET", "/grid/start"), p.Name) {
			found["grid"] = rate{p.Limit, int64(p.Window / time.Second)}
		}
	}
	return found
}

// typeCounts counts a project's recent events by type.
func (q *request) typeCounts(p *trackway.Project, lately time.Duration) (map[string]uint64, error) {
	ctx, cancel := q.deadline()
	defer cancel()
	counts := map[string]uint64{}
	err := q.withSnapshot(func(s query.Snapshot) error {
		since := query.HourOf(trackway.MicrosOf(q.now.Add(-lately))) + 1 // whole hours
		sums, _, err := page.Sums(ctx, s, p.Number, query.CountRange{By: query.ByReceived, Since: since}, page.Monthly, mostSums)
		for sum, n := range sums {
			counts[sum.Type] += n
		}
		return err
	})
	return counts, err
}

// mostFirst returns the names, those with the highest counts first.
func mostFirst(counts map[string]uint64) []string {
	names := []string{}
	for name := range counts {
		if name != "" { // the empty name stands for all types beyond those counted by name
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	return names[:min(len(names), mostTypes)]
}

// typeRow is how often an event type occurred.
type typeRow struct {
	Project string `json:"project"`
	Type    string `json:"type"`
	Day     uint64 `json:"day"`
	Month   uint64 `json:"month"`
}

// monthRow is what a project sent in this calendar month.
type monthRow struct {
	Project   string `json:"project"`
	Month     string `json:"month"` // 2026-11
	Processed uint64 `json:"processed"`
	Stored    uint64 `json:"stored"`
	Duplicate uint64 `json:"duplicate"`
	Refused   uint64 `json:"refused"`
}

// totals are the numbers of what is stored.
type totals struct {
	Customers uint64 `json:"customers"`
	Events    uint64 `json:"events"`
}

// serverRow is a tracking server.
type serverRow struct {
	fleet.Server

	Self bool `json:"self"`
}

// overview answers with the state of the server, and what comes in.
func (q *request) overview() error {
	var all totals
	types, usage := []typeRow{}, []monthRow{}
	var others apart
	for _, p := range q.projects() {
		err := others.each(p, func() error {
			rows, err := q.typeRows(p)
			if err != nil {
				return err
			}
			return q.withSnapshot(func(s query.Snapshot) error {
				total, month, err := q.usageOf(s, p)
				if err != nil {
					return err
				}
				types = append(types, rows...)
				all.Customers += total.Customers()
				all.Events += total.Events()
				if n := month.Processed(); n > 0 {
					name := q.now.UTC().Format("2006-01")
					usage = append(usage, monthRow{p.Token, name, n, month.Stored, month.Duplicate, month.Refused})
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	slices.SortStableFunc(types, func(a, b typeRow) int { return cmp.Compare(b.Month, a.Month) })
	servers := []serverRow{}
	for _, s := range q.Fleet.Servers() {
		servers = append(servers, serverRow{s, s.Name == q.Fleet.Self().Name})
	}
	slices.SortFunc(servers, func(a, b serverRow) int { return cmp.Compare(a.Name, b.Name) })
	body := overviewBody{secondsOf(q.now), all, q.rates(), types[:min(len(types), mostTypes)], usage, servers, q.Health(), q.cluster(), list(others.missing)}
	steady := body
	// The health's other values always differ; the rates change every 10
	// seconds.
	steady.Now, steady.Health = 0, Health{Ready: body.Health.Ready}
	steady.Cluster = steadyCluster(body.Cluster)
	return q.versioned(steady, body)
}

type overviewBody struct {
	Now     seconds     `json:"now"`
	Totals  totals      `json:"totals"`
	Rates   rateSeries  `json:"rates"`
	Types   []typeRow   `json:"types"`
	Usage   []monthRow  `json:"usage"`
	Servers []serverRow `json:"servers"`
	Health  Health      `json:"health"`

	Cluster *members.Status `json:"cluster"` // null: the server stands alone
	Missing []string        `json:"missing"` // tokens of the projects that it leaves out
}

func (q *request) typeRows(p *trackway.Project) ([]typeRow, error) {
	month, err := q.typeCounts(p, aMonth)
	if err != nil {
		return nil, err
	}
	day, err := q.typeCounts(p, aDay)
	var rows []typeRow
	for _, name := range mostFirst(month) {
		rows = append(rows, typeRow{p.Token, name, day[name], month[name]})
	}
	return rows, err
}

// usageOf returns what a project has sent in all, and in this calendar month
// (UTC). Cost: one step for each day on which it sent anything.
func (q *request) usageOf(s query.Snapshot, p *trackway.Project) (total, month query.Usage, err error) {
	year, thisMonth, _ := q.now.UTC().Date()
	first := query.DayOf(trackway.MicrosOf(time.Date(year, thisMonth, 1, 0, 0, 0, 0, time.UTC)))
	err = s.Usage(p.Number, func(day query.Day, u query.Usage) bool {
		total = total.Plus(u)
		if day >= first {
			month = month.Plus(u)
		}
		return true
	})
	return total, month, err
}

// counts are the numbers of each kind.
type counts struct {
	Accepted uint64 `json:"accepted"`
	Refused  uint64 `json:"refused"`
	Limited  uint64 `json:"limited"`
	Failed   uint64 `json:"failed"`
}

func countsOf(of func(rates.Kind) uint64) counts {
	return counts{of(rates.Accepted), of(rates.Refused), of(rates.Limited), of(rates.Failed)}
}

// series is the numbers of each kind in each step.
type series struct {
	Start    seconds      `json:"start"`
	Step     int64        `json:"step"` // seconds
	Accepted rates.Counts `json:"accepted"`
	Refused  rates.Counts `json:"refused"`
	Limited  rates.Counts `json:"limited"`
	Failed   rates.Counts `json:"failed"`
}

func seriesOf(of func(rates.Kind) rates.Series) series {
	accepted := of(rates.Accepted)
	return series{
		secondsOf(accepted.Start), int64(accepted.Step / time.Second), accepted.Counts,
		of(rates.Refused).Counts, of(rates.Limited).Counts, of(rates.Failed).Counts,
	}
}

// rateSeries is the recent numbers of each kind.
type rateSeries struct {
	Minute counts  `json:"minute"`
	Hour   series  `json:"hour"`
	Day    series  `json:"day"`
	Since  seconds `json:"since"`
}

func (q *request) rates() rateSeries {
	return rateSeries{
		Minute: countsOf(func(k rates.Kind) uint64 { return q.Rates.LastMinute(q.now, k) }),
		Hour:   seriesOf(func(k rates.Kind) rates.Series { return q.Rates.Hour(q.now, k) }),
		Day:    seriesOf(func(k rates.Kind) rates.Series { return q.Rates.Day(q.now, k) }),
		Since:  secondsOf(q.Rates.Started()),
	}
}
