package api

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/format"
	"trackway/internal/limit"
	"trackway/internal/limit/watch"
	"trackway/internal/live"
	"trackway/internal/rates"
)

// observer learns what becomes of calls and their commands, and passes it on to
// everything that counts or shows it. It is safe for concurrent use.
type observer struct {
	limits *limit.Limiter
	live   *live.Hub    // shows what was refused and left out
	rates  *rates.Meter // counts for the last minute
	watch  *watch.Watch // knows who calls most
	metrics
}

// metrics of the public listener. Labels are routes of the table, statuses, and
// names from the configuration: their number does not depend on the traffic.
type metrics struct {
	seconds *prometheus.HistogramVec
	limited *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "trackway_http_request_duration_seconds",
		Help:    "Time from a request's first step to its answer, by route and status.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"method", "route", "status"}), limited: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trackway_limited_calls_total",
		Help: "Calls over a rate limit, by the policy that refused them and the name of the project in their path; empty if it is not one of ours.",
	}, []string{"policy", "project"})}
	reg.MustRegister(m.seconds, m.limited)
	return m
}

// decided receives what the limits decided about a call. It records a sample of
// the calls, with caller and route.
func (o *observer) decided(c *call) {
	d := &c.decision
	project := ""
	if !d.Allowed {
		project = c.access.Keys.ProjectName(c.projectToken())
		o.rates.Refusal(c.received, d.Policy)
		o.limited.WithLabelValues(d.Policy, project).Inc()
	}
	if !d.Limited {
		return
	}
	weight := o.watch.Sample(c.received, d.Policy, !d.Allowed)
	if weight == 0 {
		return
	}
	policies := []string{d.Policy}
	if d.Allowed {
		policies = o.limits.Set().Counting(c.ask.Method, c.ask.Path)
		project = c.access.Keys.ProjectName(c.projectToken())
	}
	c.watched = &watch.Call{
		At: c.received, Weight: weight, Addr: c.ask.Addr, Policies: policies, Refused: !d.Allowed,
		Source:  c.access.Clients.Explain(c.r.RemoteAddr, c.r.Header).Source(),
		Project: project, Route: cmp.Or(c.route.method, c.r.Method) + " " + c.route.path, Agent: c.r.UserAgent(),
	}
	o.watch.Note(c.watched)
}

// refused receives a call that failed because of its key or its body, before
// its commands were examined. It shows calls that carry commands, unless the
// server had no room for them, because the client then sends the call again.
func (o *observer) refused(c *call, err error) {
	known, ok := errors.AsType[*trackway.Error](err)
	if ok && c.format.Decode != nil && known.Code != trackway.Overloaded {
		o.sent(c, 0, 1)
		o.reject(c, c.format.Name, nil, known)
	}
}

// took receives what became of the commands of a call. If answered is false,
// the call was refused as a whole.
func (o *observer) took(c *call, b *format.Batch, answered bool) {
	var accepted, refused int
	var types []string
	for i := range b.Commands {
		cmd, name := &b.Commands[i], b.Labels[i].Name
		if len(cmd.LeftOut) > 0 {
			r := rejection(c, name)
			r.Type = cmd.Type
			o.live.CountLeftOut(cmd.LeftOut, &r)
		}
		switch {
		case b.Results[i].Err != nil:
			refused++
			o.reject(c, name, cmd, b.Results[i].Err)
		case cmd.Kind != trackway.Nothing:
			accepted++
			if c.watched != nil && cmd.Type != "" {
				types = append(types, cmd.Type)
			}
		}
	}
	now := time.Now()
	o.rates.Count(now, rates.Accepted, accepted)
	o.rates.Count(now, rates.Refused, refused)
	o.sent(c, accepted, refused)
	if c.watched != nil && answered {
		o.watch.Sent(c.watched, c.body, types)
	}
}

// sent counts commands of a call for its key, if that is known.
func (o *observer) sent(c *call, accepted, refused int) {
	if key := c.grant.Key; key != nil {
		o.rates.Sent(c.received, rates.Key{Project: c.grant.Project.Number, Name: key.Name}, accepted, refused)
	}
}

// reject shows a refused command to watchers. cmd is nil if the command could
// not be decoded.
func (o *observer) reject(c *call, name string, cmd *trackway.Command, err *trackway.Error) {
	if !o.live.Room(c.received) {
		return
	}
	r := rejection(c, name)
	r.Field, r.Reason = err.Field, c.format.Text(err)
	if cmd != nil {
		r.Type, r.IDs = cmd.Type, cmd.IDs
	}
	o.live.Reject(&r)
}

// rejection returns what watchers see of a command of a call, whatever became
// of it.
func rejection(c *call, name string) live.Rejection {
	return live.Rejection{
		Received: trackway.MicrosOf(c.received), Command: name, Address: c.ask.Addr,
		Project: c.access.Keys.ProjectNumber(c.projectToken()),
	}
}

// measured is called when a call is answered or a stream has begun. It measures
// each call once.
func (o *observer) measured(c *call) {
	if c.observed {
		return
	}
	c.observed = true
	o.seconds.WithLabelValues(c.route.method, c.route.path, strconv.Itoa(c.status)).Observe(time.Since(c.received).Seconds())
}

// ended is called when a call has ended. It counts the call by its answer.
func (o *observer) ended(c *call) {
	o.measured(c)
	now := time.Now()
	if c.status >= http.StatusOK && c.status < http.StatusBadRequest {
		o.rates.Count(now, rates.Answered, 1)
		return
	}
	o.rates.Count(now, rates.Erred, 1)
	switch {
	case c.status == http.StatusTooManyRequests:
		o.rates.Count(now, rates.Limited, 1)
	case c.status >= http.StatusInternalServerError:
		o.rates.Count(now, rates.Failed, 1)
	}
}
