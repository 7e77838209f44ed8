// Package kinds knows all kinds of destinations. A program that imports it
// links all their libraries.
package kinds

import (
	"errors"
	"fmt"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/clickhouse"
	"trackway/internal/destination/file"
	"trackway/internal/destination/kafka"
	"trackway/internal/destination/mirror"
	"trackway/internal/destination/postgres"
	"trackway/internal/destination/s3"
	"trackway/internal/destination/webhook"
)

// Deps holds what kinds need besides their configuration.
type Deps struct {
	Store    string                    // the store's id
	Projects func() []trackway.Project // those of the configuration in force
}

// New checks the settings of a destination that belong to its kind, and returns
// its sink. It opens nothing.
func New(d config.Destination, deps Deps) (destination.Sink, error) {
	switch d.Kind {
	case config.Postgres:
		return made(postgres.New(d))
	case config.ClickHouse:
		return made(clickhouse.New(d))
	case config.Kafka:
		return made(kafka.New(&d, deps.Store))
	case config.S3:
		return made(s3.New(d, deps.Store))
	case config.File:
		return made(file.New(d, deps.Store))
	case config.Webhook:
		return made(webhook.New(d))
	case config.Mirror:
		return mirror.New(d, deps.Projects)
	}
	return nil, fmt.Errorf("%w: %q", errUnknown, d.Kind)
}

var errUnknown = errors.New("there is no such kind of destination")

// made returns a sink, or nil with an error. Without it, a nil pointer would
// become an interface that is not nil.
func made[S destination.Sink](sink S, err error) (destination.Sink, error) {
	if err != nil {
		return nil, err
	}
	return sink, nil
}

// Check returns the problems that the kinds find in the destinations of a
// configuration.
func Check(cfg *config.Config) []config.Problem {
	var found []config.Problem
	for i := range cfg.Destinations {
		d := &cfg.Destinations[i]
		if d.Name == "" {
			continue // reported already
		}
		if cfg.Partitions > 1 {
			d = new(Part(*d, 0)) // whose names are longer
		}
		sink, err := New(*d, Deps{Store: "check", Projects: func() []trackway.Project { return cfg.Projects }})
		if errors.Is(err, errUnknown) {
			continue // reported already
		}
		if err != nil {
			found = append(found, config.Problem{Field: fmt.Sprintf("destinations[%d]", i), Msg: err.Error()})
			continue
		}
		_ = sink.Close() // it was not used
	}
	return found
}
