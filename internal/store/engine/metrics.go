package engine

import (
	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// collector reads Pebble's own figures when it is asked for them.
type collector struct {
	db                                           *pebble.DB
	disk, wal, memtables, cache, files, l0, debt *prometheus.Desc
	compactions, read, written                   *prometheus.Desc
}

// Collector returns the metrics of the files and of the memory of a database.
func (d *Database) Collector() prometheus.Collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("trackway_store_"+name, help, nil, nil)
	}
	return &collector{
		db:          d.DB,
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
	}
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	m := c.db.Metrics()
	total := m.Total()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	counter := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
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
