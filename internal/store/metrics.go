package store

import (
	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/store/damage"
)

// collector reads Pebble's own figures when it is asked for them.
type collector struct {
	s                                            *Store
	disk, wal, memtables, cache, files, l0, debt *prometheus.Desc
	compactions, read, written                   *prometheus.Desc
	erasures, oldest, damaged, full              *prometheus.Desc
}

func newCollector(s *Store) *collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("trackway_store_"+name, help, nil, nil)
	}
	return &collector{
		s:           s,
		disk:        desc("disk_bytes", "Space the store takes on the disk."),
		wal:         desc("wal_bytes", "Write-ahead log not yet in tables."),
		memtables:   desc("memtable_bytes", "Memory that holds writes not yet in tables."),
		cache:       desc("cache_bytes", "Memory that holds blocks read from tables."),
		files:       desc("tables", "Tables on the disk."),
		l0:          desc("l0_sublevels", "Layers of the newest tables that a read may have to look into; a growing number means that compaction falls behind."),
		debt:        desc("compaction_debt_bytes", "Estimate of what compaction has still to write."),
		compactions: desc("compactions_total", "Compactions done."),
		read:        desc("compaction_read_bytes_total", "Bytes that compactions read."),
		written:     desc("compaction_written_bytes_total", "Bytes that compactions and flushes wrote."),
		erasures:    desc("erasures_pending", "Erasures that are not done: bytes may still be in the store's files or in a destination."),
		oldest:      desc("erasure_oldest_timestamp_seconds", "When the oldest of these was asked for; 0 if there is none."),
		full:        desc("disk_full", "1 while the disk has no room for what is stored, else 0."),
		damaged: prometheus.NewDesc("trackway_store_damaged",
			"Places of the store that could not be read since the start, by what is there. Any is data that is lost: see docs/damage.md.", []string{"what"}, nil),
	}
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	m := c.s.db.Metrics()
	total := m.Total()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	counter := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	erasures, oldest := c.s.pending.Pending()
	for _, kind := range damage.Kinds {
		ch <- prometheus.MustNewConstMetric(c.damaged, prometheus.GaugeValue, float64(c.s.damaged.Count(kind)), string(kind))
	}
	gauge(c.erasures, float64(erasures))
	gauge(c.full, map[bool]float64{true: 1}[c.s.stuck.Full()])
	gauge(c.oldest, float64(oldest)/1e6)
	gauge(c.disk, float64(m.DiskSpaceUsage()))
	gauge(c.wal, float64(m.WAL.Size))
	gauge(c.memtables, float64(m.MemTable.Size))
	gauge(c.cache, float64(m.BlockCache.Size))
	gauge(c.files, float64(total.TablesCount))
	gauge(c.l0, float64(m.Levels[0].Sublevels))
	gauge(c.debt, float64(m.Compact.EstimatedDebt))
	counter(c.compactions, float64(m.Compact.Count))
	counter(c.read, float64(total.TableBytesRead))
	counter(c.written, float64(total.TableBytesFlushed+total.TableBytesCompacted))
}

// Damaged returns how many places of the store are known that could not be read since it was opened.
func (s *Store) Damaged() int { return s.damaged.All() }

// DiskBytes returns how much space the store takes on the disk.
func (s *Store) DiskBytes() uint64 { return s.db.Metrics().DiskSpaceUsage() }
