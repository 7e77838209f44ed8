package app

import (
	"encoding/json"
	"hash/fnv"
	"log/slog"
	"path/filepath"

	"trackway/internal/api"
	"trackway/internal/config"
	"trackway/internal/limit/traffic"
)

// trafficDir is the folder of the record of calls in the data directory.
const trafficDir = "traffic"

// TrafficDir returns the folder of the record of calls.
func TrafficDir(cfg *config.Config) string { return filepath.Join(cfg.DataDir, trafficDir) }

func newTraffic(cfg *config.Config, log *slog.Logger) *traffic.Recorder {
	return traffic.New(TrafficDir(cfg), api.Roots(), log)
}

// recording returns how calls are to be recorded.
func recording(cfg *config.Config) traffic.Settings {
	projects := make(map[string]string, len(cfg.Projects))
	for _, p := range cfg.Projects {
		projects[p.Token] = p.Name
	}
	return traffic.Settings{
		Record: cfg.Traffic.Record, Keep: cfg.Traffic.Keep, MaxBytes: cfg.Traffic.MaxBytes, Limits: nameOf(cfg), Projects: projects,
	}
}

// nameOf returns a number that is another one for other limits.
func nameOf(cfg *config.Config) uint64 {
	text, err := json.Marshal([]any{cfg.Policies, cfg.Overrides})
	if err != nil {
		panic("bug: limits cannot be written: " + err.Error())
	}
	hash := fnv.New64a()
	_, _ = hash.Write(text) // never fails
	return hash.Sum64()
}
