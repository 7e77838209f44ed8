package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/api/body"
	"trackway/internal/api/room"
)

// places is how much is done at once, of each kind. An address has a share of
// each, and waits in a line of its own if it has that.
type places struct {
	questions *room.Places // that are answered whole: an answer may have some 8 MB
	answers   *room.Places // of unknown length that are being made
	long      *room.Places // of those, the ones that are longer than a piece: some are left for short ones
	erasures  *room.Places
	watchers  *room.Places // of the live page
	lingering *room.Places // connections that are read after the answer
}

const (
	maxQuestions = 16
	maxAnswers   = 32
	maxLong      = 24
	maxErasures  = 8
	maxWatchers  = 100
	maxLingering = 64

	placesPart = 4 // an address has at most this part of each
)

func newPlaces() places {
	of := func(n int) *room.Places { return room.NewPlaces(n, n/placesPart) }
	return places{of(maxQuestions), of(maxAnswers), of(maxLong), of(maxErasures), of(maxWatchers), of(maxLingering)}
}

// The places that routes of the pages' handler need.
func forQuestions(p *places) *room.Places { return p.questions }
func forLong(p *places) *room.Places      { return p.long }
func forWatchers(p *places) *room.Places  { return p.watchers }
func forErasures(p *places) *room.Places  { return p.erasures }

// named returns all places by the names that metrics have for them.
func (p *places) named(bodies *body.Intake) map[string]*room.Places {
	return map[string]*room.Places{
		"questions": p.questions, "answers": p.answers, "long_answers": p.long, "erasures": p.erasures,
		"watchers": p.watchers, "lingering": p.lingering, "large_bodies": bodies.Large,
	}
}

// placesCollector tells how places are used.
type placesCollector struct{ all map[string]*room.Places }

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
func (c placesCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{placesTaken, placesLimit, placesWaiting, placesRefused} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c placesCollector) Collect(ch chan<- prometheus.Metric) {
	for of, p := range c.all {
		n := p.Counts()
		ch <- prometheus.MustNewConstMetric(placesTaken, prometheus.GaugeValue, float64(n.Taken), of)
		ch <- prometheus.MustNewConstMetric(placesLimit, prometheus.GaugeValue, float64(n.Size), of)
		ch <- prometheus.MustNewConstMetric(placesWaiting, prometheus.GaugeValue, float64(n.Waiting), of)
		ch <- prometheus.MustNewConstMetric(placesRefused, prometheus.CounterValue, float64(n.Refused), of)
	}
}
