package config

import (
	"time"

	"trackway/internal/config/scalar"
)

// Traffic says whether calls are recorded, so that `trackway limits suggest`
// and `simulate` can try limits on them. The record contains addresses, which
// are personal data, so it is off by default.
type Traffic struct {
	Record   bool
	Keep     time.Duration // older rows are removed
	MaxBytes int64         // size of the record
}

type traffic struct {
	Record bool              `yaml:"record"`
	Keep   scalar.BoundedAge `yaml:"keep"`
	MaxMB  uint32            `yaml:"max_mb"`
}

func (t *traffic) SetDefaults() { *t = traffic{Keep: scalar.BoundedAge(keepCalls), MaxMB: 512} }

const (
	keepCalls   = 7 * 24 * time.Hour // by default
	minRecordMB = 10
	maxRecordMB = 1_000_000
	megabyte    = 1e6
)

// traffic checks and translates the section.
func (d *doc) traffic() Traffic {
	t := &d.file.Traffic
	if t.MaxMB < minRecordMB || t.MaxMB > maxRecordMB {
		d.report(&t.MaxMB, "must lie between %d and %d (megabytes)", minRecordMB, maxRecordMB)
	}
	return Traffic{Record: t.Record, Keep: time.Duration(t.Keep), MaxBytes: int64(t.MaxMB) * megabyte}
}
