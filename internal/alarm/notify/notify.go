// Package notify tells the operator what alarms do, by webhooks and by mail. It
// takes the messages out of the alarms' book, and removes what a receiver has
// accepted. So each message arrives at least once, whatever fails between.
//
// A receiver that is slow or down delays no other. All that waits for a
// receiver goes into one message, and a receiver gets a bounded number of
// messages an hour. So a storm of alarms is summed up. No error and no line of
// the log contains a URL or a password.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/alarm"
	"trackway/internal/config/alarming"
	"trackway/internal/sleep"
)

const (
	gatherTime = 2 * time.Second // that a message waits for others that come at the same time
	firstPause = 5 * time.Second // after a failure; it doubles each time
	mostPause  = 10 * time.Minute
	mostAnHour = 12               // messages to a receiver: half of them at once, the others spread
	patience   = 30 * time.Second // until a receiver has a message
	mostTime   = patience + scanTime
	trialTime  = time.Minute // for a trial: somebody waits for the result
)

// Message is what a receiver is told at once.
type Message struct {
	Server  string // this server's name
	At      time.Time
	Notices []alarm.Notice // oldest first
	LeftOut int            // how many older ones are missing
	Trial   bool           // it only tests the way; then there is one notice, which says so
}

// way sends messages to one receiver, in a bounded time. Its errors contain
// neither an address nor a credential.
type way interface {
	send(ctx context.Context, m *Message) error
}

// waitError is the error of a receiver that asks to wait.
type waitError struct {
	error

	after time.Duration
}

// partialError is the error of a message that has arrived, but not everywhere.
type partialError struct{ error }

// open returns the way to a receiver.
func open(r *alarming.Receiver) (way, error) {
	if r.Kind == alarming.Mail {
		return newMailer(r)
	}
	return newPoster(r)
}

// Check returns what is wrong with receivers that the configuration alone does
// not show. It connects to nothing. A problem is about the receiver with the
// index i.
func Check(receivers []alarming.Receiver, report func(i int, err error)) {
	for i := range receivers {
		if receivers[i].Kind == "" {
			continue // reported already
		}
		if _, err := open(&receivers[i]); err != nil {
			report(i, err)
		}
	}
}

// Sender tells the receivers. It is safe for concurrent use.
type Sender struct {
	book     *alarm.Book
	log      *slog.Logger
	messages *prometheus.CounterVec

	mu     sync.Mutex // guards what follows
	server string
	lines  []*line
	reload chan struct{} // closed when there are other lines
}

// line is one receiver, and what became of the messages to it.
type line struct {
	alarming.Receiver

	way way

	mu       sync.Mutex  // guards what follows
	sent     []time.Time // in the last hour
	success  time.Time
	failure  time.Time
	problem  string // of the last attempt
	failures int    // in a row
}

// New returns a sender. It sends nothing before [Sender.Run].
func New(book *alarm.Book, log *slog.Logger, reg prometheus.Registerer) *Sender {
	s := &Sender{book: book, log: log, reload: make(chan struct{}), messages: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trackway_alarm_messages_total", Help: "Messages about alarms, by receiver and result: sent, or failed and to be repeated.",
	}, []string{"receiver", "result"})}
	reg.MustRegister(s.messages)
	return s
}

// Prepare returns a function that makes the sender use other receivers. A
// receiver that stays the same keeps its count of messages.
func (s *Sender) Prepare(server string, receivers []alarming.Receiver) (use func(), err error) {
	lines, names := make([]*line, len(receivers)), make([]string, len(receivers))
	for i := range receivers {
		w, err := open(&receivers[i])
		if err != nil {
			return nil, fmt.Errorf("receiver %s of alarms: %w", receivers[i].Name, err)
		}
		lines[i], names[i] = &line{Receiver: receivers[i], way: w}, receivers[i].Name
	}
	return func() {
		s.mu.Lock()
		for _, l := range lines {
			for _, old := range s.lines {
				if old.Name == l.Name {
					old.mu.Lock()
					l.sent, l.success = old.sent, old.success
					old.mu.Unlock()
				}
			}
			for _, result := range []string{"sent", "failed"} {
				s.messages.WithLabelValues(l.Name, result)
			}
		}
		s.server, s.lines = server, lines
		close(s.reload)
		s.reload = make(chan struct{})
		s.mu.Unlock()
		s.book.Keep(names)
	}, nil
}

// Run tells the receivers until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		s.mu.Lock()
		lines, server, reload := s.lines, s.server, s.reload
		s.mu.Unlock()
		serving, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		for _, l := range lines {
			running.Go(func() { s.serve(serving, l, server) })
		}
		select {
		case <-reload:
		case <-ctx.Done():
		}
		stop()
		running.Wait()
	}
	return nil
}

// serve tells one receiver.
func (s *Sender) serve(ctx context.Context, l *line, server string) {
	for ctx.Err() == nil {
		notices, _, more := s.book.Pending(l.Name)
		if len(notices) == 0 {
			select {
			case <-more:
			case <-ctx.Done():
			}
			continue
		}
		if sleep.For(ctx, max(gatherTime, l.budget(time.Now()))) != nil {
			return
		}
		notices, leftOut, _ := s.book.Pending(l.Name)
		m := &Message{Server: server, At: time.Now(), Notices: notices, LeftOut: leftOut}
		pause := l.attempt(ctx, m, s.log)
		if ctx.Err() != nil && pause > 0 {
			return
		}
		if pause == 0 {
			s.messages.WithLabelValues(l.Name, "sent").Inc()
			s.book.Told(l.Name, notices, leftOut)
			continue
		}
		s.messages.WithLabelValues(l.Name, "failed").Inc()
		if sleep.For(ctx, pause) != nil {
			return
		}
	}
}

// budget returns how long to wait until the receiver may get another message.
// That is ten minutes at most: alarms that a stranger can cause, again and
// again, do not hold up one that matters.
func (l *line) budget(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.sent) > 0 && now.Sub(l.sent[0]) >= time.Hour {
		l.sent = l.sent[1:]
	}
	const half = mostAnHour / 2
	if len(l.sent) < half {
		return 0
	}
	return time.Hour/half - now.Sub(l.sent[len(l.sent)-1])
}

// attempt sends a message, and returns how long to wait until the next attempt,
// or 0 if the message has arrived.
func (l *line) attempt(ctx context.Context, m *Message, log *slog.Logger) (pause time.Duration) {
	bounded, _, stop := within(ctx, mostTime)
	err := l.way.send(bounded, m)
	stop()
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.sent, l.success, l.problem, l.failures = append(l.sent, now), now, "", 0
		return 0
	}
	l.failure, l.problem = now, err.Error()
	if _, ok := errors.AsType[*partialError](err); ok { // a repetition would reach the others again
		l.sent, l.success, l.failures = append(l.sent, now), now, 0
		log.Warn("a receiver of alarms cannot be told in full", "receiver", l.Name, "err", err)
		return 0
	}
	l.failures++
	if l.failures == 1 && ctx.Err() == nil {
		log.Warn("a receiver of alarms cannot be told, and is tried again", "receiver", l.Name, "err", err)
	}
	pause = min(firstPause<<min(l.failures-1, 10), mostPause)
	if wait, ok := errors.AsType[*waitError](err); ok {
		pause = max(pause, min(wait.after, time.Hour))
	}
	return pause
}

// within returns a context that ends with a cause if a receiver does not answer
// in time. Each call of extend gives it more.
func within(ctx context.Context, patience time.Duration) (_ context.Context, extend func(time.Duration), stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	start := func(d time.Duration) *time.Timer {
		return time.AfterFunc(d, func() { cancel(fmt.Errorf("no answer within %v", d)) })
	}
	timer := start(patience)
	extend = func(d time.Duration) {
		if timer.Stop() {
			timer = start(d)
		}
	}
	return ctx, extend, func() { timer.Stop(); cancel(nil) }
}

// Told returns when a receiver was told something, when it could not be told,
// and why, if that was last.
func (s *Sender) Told(receiver string) (success, failure time.Time, problem string) {
	if l := s.line(receiver); l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.success, l.failure, l.problem
	}
	return success, failure, ""
}

func (s *Sender) line(name string) *line {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		if l.Name == name {
			return l
		}
	}
	return nil
}

const trial = "trial" // the kind of the notice in a trial

// Tried is the result of a trial.
type Tried struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Error string `json:"error,omitempty"` // empty: the receiver has accepted the message
}

// Try sends a trial message to the receivers with some names, or to all, at the
// same time. It returns false if there is no receiver of a name. Trials do not
// count as messages of the hour.
func (s *Sender) Try(ctx context.Context, names []string) (results []Tried, known bool) {
	s.mu.Lock()
	lines, server := s.lines, s.server
	s.mu.Unlock()
	chosen := make(map[string]*line)
	for _, l := range lines {
		chosen[l.Name] = l
	}
	if len(names) > 0 {
		all := chosen
		chosen = make(map[string]*line)
		for _, name := range names {
			if all[name] == nil {
				return nil, false
			}
			chosen[name] = all[name]
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, trialTime, fmt.Errorf("no answer within %v", trialTime))
	defer cancel()
	now := time.Now()
	m := &Message{Server: server, At: now, Trial: true, Notices: []alarm.Notice{{
		ID: fmt.Sprintf("trial-%d", now.UnixNano()), State: alarm.Ended, Kind: trial, Since: now.UTC().Truncate(time.Second), Ended: now.UTC().Truncate(time.Second),
		Text: "This is a trial. Nothing is wrong: somebody has asked for it with trackway alarms test.",
	}}}
	results = []Tried{}
	var mu sync.Mutex
	var trying sync.WaitGroup
	for l := range maps.Values(chosen) {
		trying.Go(func() {
			r := Tried{Name: l.Name, Kind: l.Kind}
			if err := l.way.send(ctx, m); err != nil {
				r.Error = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			results = append(results, r)
		})
	}
	trying.Wait()
	return ordered(results, lines), true
}

// ordered puts results into the order of the configuration.
func ordered(results []Tried, lines []*line) []Tried {
	out := []Tried{}
	for _, l := range lines {
		for _, r := range results {
			if r.Name == l.Name {
				out = append(out, r)
			}
		}
	}
	return out
}
