package body

import (
	"runtime"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/api/room"
	"trackway/internal/format/cost"
)

// Light is the largest inflated size at which a body is inflated and decoded
// without waiting, which takes some hundred microseconds. Only a few larger
// bodies are inflated and decoded at the same time, and only one for each
// address, so that all other callers find free processors.
const Light = 64 << 10

// patience is how long a large body waits for those before it.
const patience = 10 * time.Second

// Intake holds what all bodies share: the memory, and the places for large
// bodies. It is safe for concurrent use.
type Intake struct {
	Memory *room.Room
	Large  *room.Places

	metrics metrics
	zstd    func() *zstd.Decoder
}

// NewIntake returns an intake that has some bytes of memory.
func NewIntake(memory int, reg prometheus.Registerer) *Intake {
	large := max(runtime.GOMAXPROCS(0)/2, 1)
	in := &Intake{Memory: room.New(memory), Large: room.NewPlaces(large, 1)}
	in.zstd = sync.OnceValue(func() *zstd.Decoder { return newZstd(large + runtime.GOMAXPROCS(0)) })
	in.metrics = newMetrics(in, reg)
	return in
}

// Most returns the size, inflated, of the largest body that fits in an
// address's share of the memory while it is read, inflated and decoded. It
// assumes that the body does not have unusually many members.
func (in *Intake) Most() int {
	const whileRead = 3 // what was sent, and what is inflated while it moves
	share := in.Memory.Share()
	return min(share/whileRead, max(share/(1+usualParts), (share-decodedMost)/2))
}

// The most that decoding takes beside the body.
const (
	usualParts  = 6        // times the body, usually: see [cost.Of]
	decodedMost = 32 << 20 // for all commands of a batch, beside values that are written in canonical form
)

// DecodingTakes returns the most bytes that decoding a body with up to the
// given number of commands takes: the figure of package cost, and the body's
// length for large values, which grow in larger steps. For a batch of the
// tracking API, the result never exceeds that of the largest one. Many small
// commands take more than a few large ones, so more commands have no such
// bound.
func DecodingTakes(text []byte, commands int) int {
	takes := cost.Of(text, commands)
	if commands <= trackway.MaxCommands {
		takes = min(takes, decodedMost)
	}
	return len(text) + takes
}

// metrics of bodies.
type metrics struct {
	refused *prometheus.CounterVec
	waited  prometheus.Histogram
}

// Reasons why a body was not taken, as the metric has them.
const (
	byMedia  = "media_type"
	byCoding = "content_encoding"
	tooLarge = "too_large"
	inflated = "inflated"
	noRoom   = "no_room"
	tooSlow  = "too_slow"
	dropped  = "dropped"
	busy     = "busy"
	damaged  = "damaged"
)

func newMetrics(in *Intake, reg prometheus.Registerer) metrics {
	m := metrics{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trackway_bodies_refused_total",
			Help: "Bodies of requests that were not taken: no_room, too_slow (below the least rate), dropped (slower than others " +
				"when room was short), busy (waited too long for other large ones), too_large, inflated (far larger than what was sent), media_type, content_encoding, damaged.",
		}, []string{"reason"}),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "trackway_large_body_wait_seconds",
			Help:    "How long a body over 64 KiB, inflated, waited until it was inflated or decoded.",
			Buckets: []float64{.0001, .001, .01, .1, 1, 10},
		}),
	}
	for _, reason := range []string{byMedia, byCoding, tooLarge, inflated, noRoom, tooSlow, dropped, busy, damaged} {
		m.refused.WithLabelValues(reason)
	}
	reg.MustRegister(
		m.refused, m.waited,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "trackway_bodies_memory_bytes", Help: "Memory that bodies of requests take now, inflating and decoding included.",
		}, func() float64 { return float64(in.Memory.Used()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "trackway_bodies_memory_limit_bytes", Help: "Memory that bodies of requests may take; half of it for one address.",
		}, func() float64 { return float64(in.Memory.Size()) }),
	)
	return m
}
