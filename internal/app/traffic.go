package app

import (
	"log/slog"
	"path/filepath"

	"trackway/internal/api"
	"trackway/internal/config"
	"trackway/internal/datadir"
	"trackway/internal/limit/traffic"
)

// TrafficDir returns the directory of the recorded calls.
func TrafficDir(cfg *config.Config) string { return filepath.Join(cfg.DataDir, datadir.Traffic) }

func newTraffic(cfg *config.Config, log *slog.Logger) *traffic.Recorder {
	return traffic.New(TrafficDir(cfg), api.Roots(), log)
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
