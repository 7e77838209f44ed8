package alarm

import (
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/catalogue"
	"trackway/internal/contract/book"
	"trackway/internal/destination"
	"trackway/internal/limit"
	"trackway/internal/query"
	"trackway/internal/rates"
)

// Sampler takes samples of a server. It reads the same metrics as the alerts
// for Prometheus, so that both mean the same. All fields are required.
type Sampler struct {
	Dir          string          // the data directory
	Folders      func() []string // others that data lies in, on the same disk or not
	Metrics      prometheus.Gatherer
	Destinations func() []destination.Status
	Limits       func(now time.Time) limit.Report
	Counts       Counts
	Projects     func() []trackway.Project
	Contracts    func(now time.Time) []book.Hour
	NewTypes     func(project uint32) []catalogue.Beginning
	ChangedTypes func(project uint32) []catalogue.Changed
	ByKey        func(now time.Time, key rates.Key) (commands, refused uint64) // in the last ten minutes

	projects []Project // as they were when they were read last
	read     time.Time
	lacks    error // some have never been read, and this is why
	disks    disks
}

// usagePause is the time between two looks at what projects have sent: each
// costs a step for each day.
const usagePause = 50 * time.Second

// Take takes a sample. If some of it cannot be read, it returns an error with
// the rest. It must not be called concurrently.
func (s *Sampler) Take(now time.Time) (Sample, error) {
	out := Sample{At: now}
	metrics, err := values(s.Metrics)
	out.DiskFull = metrics["trackway_store_disk_full"] > 0 // of any partition
	out.Damaged = metrics["trackway_store_damaged"]
	out.Failed = metrics["trackway_commands_total failed"]
	if ends, ok := metrics["trackway_tls_certificate_expires_timestamp_seconds"]; ok {
		at := moment(ends)
		out.Certificate = &at
	}
	_, out.Renews = metrics["trackway_acme_orders_total"]
	out.Erasure = moment(metrics[oldestErasure])
	out.DataDir, out.Disks = s.Dir, s.disks.take(append([]string{s.Dir}, s.Folders()...))
	for _, d := range s.Destinations() {
		paused := d.State == destination.Paused
		out.Destinations = append(out.Destinations, Destination{d.Name, d.Lag, paused, d.State == destination.Stopped})
	}
	for _, u := range s.Limits(now).Policies {
		near := uint32(0)
		if u.Limit > 0 {
			near = uint32(uint64(u.P99) * 100 / uint64(u.Limit))
		}
		out.Policies = append(out.Policies, Policy{u.Name, u.Calls, u.Refused, near, time.Duration(u.Window) * time.Second})
	}
	if now.Sub(s.read).Abs() >= usagePause {
		var failed error
		s.projects, failed = s.readUsage()
		s.read, s.lacks, err = now, nil, errors.Join(err, failed)
		if len(s.projects) < len(s.Projects()) {
			s.lacks = failed
		}
	} else {
		err = errors.Join(err, s.lacks) // what is missing has not gone
	}
	out.Projects, out.Contracts = s.projects, s.Contracts(now)
	for _, p := range s.Projects() {
		for i := range p.Keys {
			key := rates.Key{Project: p.Number, Name: p.Keys[i].Name}
			commands, refused := s.ByKey(now, key)
			out.Keys = append(out.Keys, Key{p.Name, key.Name, commands, refused})
		}
	}
	return out, err
}

// readUsage reads how much projects have sent. A project that cannot be read
// stays as it was, and the others are read all the same: the data may be on
// different servers.
func (s *Sampler) readUsage() (projects []Project, err error) {
	snapshot := s.Counts.Snapshot()
	for _, p := range s.Projects() {
		u, failed := query.Total(snapshot, p.Number)
		if failed == nil {
			projects = append(projects, Project{p.Name, u.Processed(), u.Refused, s.NewTypes(p.Number), s.ChangedTypes(p.Number)})
			continue
		}
		err = errors.Join(err, failed)
		if i := slices.IndexFunc(s.projects, func(before Project) bool { return before.Name == p.Name }); i >= 0 {
			projects = append(projects, s.projects[i])
		}
	}
	return projects, closing(err, snapshot)
}

const oldestErasure = "trackway_store_erasure_oldest_timestamp_seconds"

// values returns the sums of metrics by name and, for commands, by outcome too.
func values(from prometheus.Gatherer) (map[string]float64, error) {
	families, err := from.Gather() // with an error, it returns what could be read
	out := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue()
			if f.GetName() == oldestErasure { // of each partition; 0 stands for none
				if before := out[oldestErasure]; before == 0 || v != 0 && v < before {
					out[oldestErasure] = v
				}
				continue
			}
			out[f.GetName()] += v
			if f.GetName() == "trackway_commands_total" {
				for _, label := range m.GetLabel() {
					out[f.GetName()+" "+label.GetValue()] += v
				}
			}
		}
	}
	return out, err
}

// moment returns the time of a metric; 0 stands for none.
func moment(seconds float64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(seconds * 1e6)).UTC()
}
