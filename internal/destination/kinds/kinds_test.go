package kinds

import (
	"context"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/store"
)

// TestReasons: equal failures are counted under the same reason, whichever kind
// worded the error.
func TestReasons(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.TempDir(), store.Options{Fatal: func(err error) { panic(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	m, err := destination.New(destination.Options{
		Dir: t.TempDir(), Store: s, Log: slog.New(slog.DiscardHandler), Jitter: func(time.Duration) time.Duration { return time.Hour },
		Open: func(d config.Destination) (destination.Sink, error) {
			return New(d, Deps{Store: "id", Projects: func() []trackway.Project { return nil }})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	const nobody = "127.0.0.1:1"
	var all []config.Destination
	for kind, url := range map[string]string{
		config.Postgres: "postgres://u:p@" + nobody + "/db", config.ClickHouse: "http://" + nobody, config.Kafka: "kafka://" + nobody,
		config.S3: "http://u:p@" + nobody, config.Webhook: "http://" + nobody, config.Mirror: "http://" + nobody,
	} {
		d := config.Destination{Name: kind, Kind: kind, URL: url, Start: "beginning", Rows: 1, Bytes: 1 << 20, Every: time.Second}
		switch kind {
		case config.S3:
			d.Bucket = "bucket"
		case config.Webhook:
			d.Secret = strings.Repeat("s3cr3t", 6)
			d.Allow = []string{"127.0.0.1"}
		case config.Mirror:
			d.Allow = []string{"127.0.0.1"}
		}
		all = append(all, d)
	}
	apply, _, err := m.Reload(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	apply()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	untried := func(s destination.Status) bool { return len(s.Retries) == 0 }
	for slices.ContainsFunc(m.List(), untried) && t.Context().Err() == nil {
		runtime.Gosched()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, d := range m.List() {
		if !maps.Equal(d.Retries, map[string]uint64{"network": 1}) {
			t.Errorf("%s: retries %v, want one because of the network: %s", d.Kind, d.Retries, d.Error)
		}
	}
}

// A name must have room for that of a partition.
func TestCheckPartitions(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{Partitions: 1, Destinations: []config.Destination{{
		Name: "db", Kind: config.Postgres, URL: "postgres://127.0.0.1:1/db", Prefix: strings.Repeat("a", 60),
	}}}
	if found := Check(cfg); len(found) != 0 {
		t.Fatalf("got %v", found)
	}
	cfg.Partitions = 2
	if found := Check(cfg); len(found) != 1 || !strings.Contains(found[0].Msg, "prefix: the name of a schema has at most 63 bytes") {
		t.Errorf("got %v", found)
	}
	if cfg.Destinations[0].Prefix != strings.Repeat("a", 60) {
		t.Error("the configuration was changed")
	}
}
