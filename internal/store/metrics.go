package store

import (
	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/store/damage"
)

// collector reads the store's own figures when it is asked for them.
type collector struct {
	s                               *Store
	erasures, oldest, damaged, full *prometheus.Desc
}

func newCollector(s *Store) *collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("trackway_store_"+name, help, nil, nil)
	}
	return &collector{
		s:        s,
		erasures: desc("erasures_pending", "Erasures whose bytes may still be in the store's files."),
		oldest:   desc("erasure_oldest_timestamp_seconds", "When the oldest of these was asked for; 0 if there is none."),
		full:     desc("disk_full", "1 while the disk has no room for what is stored, else 0."),
		damaged: prometheus.NewDesc("trackway_store_damaged",
			"Places of the store that could not be read since the start, by what is there. Any is data that is lost: see docs/damage.md.", []string{"what"}, nil),
	}
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	erasures, oldest := c.s.pending.Pending()
	for _, kind := range damage.Kinds {
		ch <- prometheus.MustNewConstMetric(c.damaged, prometheus.GaugeValue, float64(c.s.damaged.Count(kind)), string(kind))
	}
	gauge(c.erasures, float64(erasures))
	gauge(c.full, map[bool]float64{true: 1}[c.s.stuck.Full()])
	gauge(c.oldest, float64(oldest)/1e6)
}

// Damaged returns how many unreadable places of the store were found since it
// was opened.
func (s *Store) Damaged() int { return s.damaged.All() }

// DiskBytes returns the disk space of the store.
func (s *Store) DiskBytes() uint64 { return s.db.Metrics().DiskSpaceUsage() }
