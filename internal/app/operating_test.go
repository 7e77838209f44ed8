package app

import (
	"context"
	"errors"
	"testing"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/verify"
	"trackway/internal/query"
	"trackway/internal/store"
)

// kept is a destination with some events. It must not lose any.
type kept struct{ events []destination.Event }

func (k kept) Events(_ context.Context, from, to uint64, yield func(*destination.Event) bool) error {
	for i := range k.events {
		if e := &k.events[i]; e.Seq >= from && e.Seq < to && !yield(e) {
			break
		}
	}
	return nil
}

func (kept) Mend(context.Context, uint64, uint64, []destination.Event) error {
	return errors.New("it is mended")
}

// TestVerifyWhileEventsExpire: an event that expires during a verification is
// not foreign, and stays in the destination.
func TestVerifyWhileEventsExpire(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.TempDir(), store.Options{Fatal: func(err error) { panic(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	projects := []trackway.Project{{Token: "token", Name: "demo"}}
	if err := s.Register(projects); err != nil {
		t.Fatal(err)
	}
	visit := trackway.Command{Kind: trackway.AddEvent, Project: projects[0].Number, Anonymous: true, Type: "visit", Time: 1, Received: 1}
	if err := s.Apply([]trackway.Command{visit, visit}, make([]trackway.Result, 2)); err != nil {
		t.Fatal(err)
	}
	c := &verify.Check{Through: s.Synced(), Mend: true, Progress: func(uint64) {}}
	log := &viewed{placed{&part{of: 1, store: s}, ""}, destination.NewView(&config.Destination{}, projects), map[string]uint32{"demo": projects[0].Number}, c}
	c.Log = log
	var to kept
	keep := func(e *destination.Event) error { to.events = append(to.events, *e); return nil }
	if err := log.Events(t.Context(), 1, s.Synced()+1, keep, nil); err != nil || len(to.events) != 2 {
		t.Fatal(to.events, err)
	}
	removed := 0
	c.Use = func(ctx context.Context, do func(context.Context, destination.Reader) error) error {
		x, err := s.Expire(ctx, 1, 1<<40, func(uint32, string) trackway.Micros { return query.Never })
		if err != nil {
			t.Error(err)
		}
		removed += x.Removed
		return do(ctx, to)
	}
	r, err := c.Run(t.Context())
	if err != nil || removed != 2 || r.Expired != 2 || r.Foreign != 0 {
		t.Errorf("got %+v, %v; want two events that have expired", r, err)
	}
}
