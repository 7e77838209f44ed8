package destination_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	destinationtest.Run(t, func(t *testing.T) *destinationtest.Partner {
		t.Helper()
		var m destinationtest.Memory
		return &destinationtest.Partner{
			Config: config.Destination{Name: "memory", Kind: "memory"},
			Open:   m.Sink, Tables: func(*testing.T) *destinationtest.Tables { return m.Tables() },
		}
	})
}

var _ = context.Background
var _ = errors.New
var _ = time.Second
var _ destination.Sink
