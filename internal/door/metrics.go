package door

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// refusal is why a connection was not admitted.
type refusal int

const (
	refusedFull    refusal = iota // the door is full, and no connection could be closed
	refusedAddress                // its address has its maximum
	refusedFailed                 // the operating system lacked descriptors or memory
	refusedStream                 // a further HTTP/2 request found no place
	refusals

	admitted refusal = -1
)

var refusalNames = [refusals]string{"full", "address", "failed", "stream"}

// closing is why the door closed a connection.
type closing int

const (
	closedIdle    closing = iota // idle, to make room
	closedSlow                   // slow to send a header, to make room
	closedStalled                // its request hardly moved, to make room
	closedHeader                 // its header was too late
	closedRoom                   // no room for its long header
	closedStop                   // inactive while the server stopped
	closings

	closedNot closing = -1
)

var closingNames = [closings]string{"idle", "slow", "stalled", "header_time", "header_room", "stop"}

type counts struct {
	accepted atomic.Uint64
	refused  [refusals]atomic.Uint64
	closed   [closings]atomic.Uint64
}

type collector struct {
	d *Door

	open, bound, addressBound, headers, headerBound *prometheus.Desc
	accepted, refused, closed                       *prometheus.Desc
}

// Collector returns the metrics of a door.
func (d *Door) Collector() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("trackway_"+name, help, labels, nil)
	}
	return &collector{
		d:            d,
		open:         desc("connections_open", "Open connections to the public listener."),
		bound:        desc("connections_bound", "Maximum number of open connections."),
		addressBound: desc("connections_address_bound", "Maximum number of open connections of one address; trusted proxies are exempt."),
		headers:      desc("connection_header_bytes", "Bytes of long headers that are still incomplete."),
		headerBound:  desc("connection_header_bound_bytes", "Maximum number of these bytes."),
		accepted:     desc("connections_accepted_total", "Connections that were admitted."),
		refused:      desc("connections_refused_total", "Connections and HTTP/2 requests that were refused, by reason.", "reason"),
		closed:       desc("connections_closed_total", "Connections that the server closed to keep within its bounds, by reason.", "reason"),
	}
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	d := c.d
	d.mu.Lock()
	open, bounds := len(d.conns), d.bounds
	d.mu.Unlock()
	gauge := func(desc *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v)
	}
	count := func(desc *prometheus.Desc, n *atomic.Uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n.Load()), labels...)
	}
	gauge(c.open, float64(open))
	gauge(c.bound, float64(bounds.Max))
	gauge(c.addressBound, float64(bounds.PerAddress))
	gauge(c.headers, float64(d.headers.Load()))
	gauge(c.headerBound, float64(d.Bounds.Headers))
	count(c.accepted, &d.counts.accepted)
	for i, name := range refusalNames {
		count(c.refused, &d.counts.refused[i], name)
	}
	for i, name := range closingNames {
		count(c.closed, &d.counts.closed[i], name)
	}
}
