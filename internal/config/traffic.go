package config

import "time"

// Traffic says whether calls are recorded, so that `trackway limits suggest` and `simulate` can try limits on them. The record
// holds addresses, which are personal data: nothing is recorded unless this says so.
type Traffic struct {
	Record   bool
	Keep     time.Duration // no row gets older
	MaxBytes int64         // of the record
}

type traffic struct {
	Record bool   `yaml:"record"`
	Keep   age    `yaml:"keep"`
	MaxMB  uint32 `yaml:"max_mb"`
}

func (t *traffic) setDefaults() { *t = traffic{Keep: age(7 * day), MaxMB: 512} }

// What a record may be. Less than an hour would be of little use, and more than a year is no bound.
const (
	maxRecordAge = 365 * day
	minRecordMB  = 10
	maxRecordMB  = 1_000_000
	megabyte     = 1e6
)

// traffic checks and translates.
func (d *doc) traffic() Traffic {
	t := &d.file.Traffic
	if t.Keep == 0 || time.Duration(t.Keep) > maxRecordAge {
		d.report(&t.Keep, "must be a time from 1h to 365d, such as 7d: it bounds how long addresses are kept")
	}
	if t.MaxMB < minRecordMB || t.MaxMB > maxRecordMB {
		d.report(&t.MaxMB, "must lie between %d and %d (megabytes)", minRecordMB, maxRecordMB)
	}
	return Traffic{Record: t.Record, Keep: time.Duration(t.Keep), MaxBytes: int64(t.MaxMB) * megabyte}
}
