package destination

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"trackway/internal/destination/turn"
	"trackway/internal/excerpt"
	"trackway/internal/sleep"
)

// The pauses between two attempts. They have full jitter, so that destinations
// that failed together do not all try again together.
const (
	firstPause = time.Second
	mostPause  = time.Minute
	mostAsked  = time.Hour // a destination may ask for a longer pause, up to this
)

// persist calls do until it succeeds. It gives up only if ctx ends, an operator
// has to act, or the destination's position has moved.
func (r *runner) persist(ctx context.Context, do func(context.Context) error) error {
	for failures := 0; ; failures++ {
		err := do(ctx)
		if err == nil {
			if r.stats.recovered() {
				r.log.Info("destination: it works again")
			}
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, final := errors.AsType[*FinalError](err); final || errors.Is(err, errMoved) || errors.Is(err, turn.ErrLost) {
			return err
		}
		clean := r.clean(err)
		if r.stats.failed(err, clean) {
			r.log.Warn("destination: it fails and is tried again until it works; nothing is lost", "err", clean)
		}
		if err := r.rest(ctx, failures, err); err != nil {
			return err
		}
	}
}

// rest waits after some failures in a row.
func (r *runner) rest(ctx context.Context, failures int, err error) error {
	pause := r.jitter(pauseAfter(failures))
	if busy, ok := errors.AsType[*BusyError](err); ok {
		pause = max(pause, min(busy.After, mostAsked))
	}
	return sleep.For(ctx, pause)
}

// pauseAfter returns the longest pause after some failures.
func pauseAfter(failures int) time.Duration {
	const doublings = 6 // the next one is longer than mostPause anyway
	return min(firstPause<<min(failures, doublings), mostPause)
}

// reasonOf returns the kind of an error, for a metric.
func reasonOf(err error) string {
	var network net.Error
	switch {
	case isA[*BusyError](err):
		return "busy"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "timeout"
	case isA[*net.OpError](err), isA[*net.DNSError](err), isA[syscall.Errno](err):
		return "network"
	}
	return "other"
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// clean returns an error's text without the credentials of the destination.
// Kinds remove them as well; this covers what a library adds.
func (r *runner) clean(err error) string {
	text := err.Error()
	secrets := []string{r.config.URL, r.config.Secret, r.config.Password}
	if u, err := url.Parse(r.config.URL); err == nil {
		if password, ok := u.User.Password(); ok {
			secrets = append(secrets, u.User.String(), password)
		}
	}
	for _, secret := range secrets {
		if secret != "" && secret != "/" {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	const most = 1000 // bytes
	return excerpt.Of(text, most)
}
