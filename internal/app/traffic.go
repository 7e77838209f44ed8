package app

import (
	"log/slog"
	"path/filepath"

	"trackway/internal/api"
	"trackway/internal/config"
	"trackway/internal/datadir"
	"trackway/internal/limit/traffic"
	"trackway/internal/trace"
)

// TrafficDir returns the directory of the recorded calls.
func TrafficDir(cfg *config.Config) string { return filepath.Join(cfg.DataDir, datadir.Traffic) }

func newTraffic(cfg *config.Config, log *slog.Logger) *traffic.Recorder {
	return traffic.New(TrafficDir(cfg), api.Roots(), log)
}

// tracing returns the settings for traces.
func tracing(cfg *config.Config, version string) trace.Settings {
	t := &cfg.Traces
	return trace.Settings{
		Endpoint: t.Endpoint, Headers: t.Headers, Sample: t.Sample, Follow: t.Follow, Version: version, Instance: cfg.Server.Name,
	}
}

// recording returns the settings for recording calls.
func recording(cfg *config.Config) traffic.Settings {
	projects := make(map[string]string, len(cfg.Projects))
	for _, p := range cfg.Projects {
		projects[p.Token] = p.Name
	}
	return traffic.Settings{
		Record: cfg.Traffic.Record, Keep: cfg.Traffic.Keep, MaxBytes: cfg.Traffic.MaxBytes, Projects: projects,
		Limits: traffic.LimitsName(cfg.Policies, cfg.Overrides),
	}
}
