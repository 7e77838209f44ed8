package room

import "github.com/prometheus/client_golang/prometheus"

// collector tells how places are used.
type collector struct{ all map[string]*Places }

// NewCollector returns the metrics of places, by their names.
func NewCollector(all map[string]*Places) prometheus.Collector { return collector{all} }

var (
	placesTaken = placesDesc("taken", "How many are served now: questions, answers of unknown length, those of them that are long, "+
		"erasures, watchers of the live page, large bodies that are inflated or decoded, refused bodies that are still read.")
	placesLimit   = placesDesc("limit", "How many are served at once, at most.")
	placesWaiting = placesDesc("waiting", "How many wait for a place.")
	placesRefused = placesDesc("refused_total", "How many were turned away because no place became free in time.")
)

func placesDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("trackway_places_"+name, help, []string{"of"}, nil)
}

// Describe implements [prometheus.Collector].
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{placesTaken, placesLimit, placesWaiting, placesRefused} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for of, p := range c.all {
		n := p.Counts()
		ch <- prometheus.MustNewConstMetric(placesTaken, prometheus.GaugeValue, float64(n.Taken), of)
		ch <- prometheus.MustNewConstMetric(placesLimit, prometheus.GaugeValue, float64(n.Size), of)
		ch <- prometheus.MustNewConstMetric(placesWaiting, prometheus.GaugeValue, float64(n.Waiting), of)
		ch <- prometheus.MustNewConstMetric(placesRefused, prometheus.CounterValue, float64(n.Refused), of)
	}
}
