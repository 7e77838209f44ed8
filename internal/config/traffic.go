package config

import "time"

// Traffic says whether calls are recorded, so that `trackway limits suggest`
// and `simulate` can try limits on them. The record contains addresses, which
// are personal data, so it is off by default.
type Traffic struct {
	Record   bool
	Keep     time.Duration // older rows are removed
	MaxBytes int64         // size of the record
}

type traffic struct {
	Record bool      `yaml:"record"`
	Keep   recordAge `yaml:"keep"`
	MaxMB  uint32    `yaml:"max_mb"`
}

func (t *traffic) setDefaults() { *t = traffic{Keep: recordAge(7 * day), MaxMB: 512} }

// The range of a record's age. Less than an hour would be of little use, and
// more than a year is not a limit.
const (
	maxRecordAge = 365 * day
	minRecordMB  = 10
	maxRecordMB  = 1_000_000
	megabyte     = 1e6
)

// recordAge is how long a record of calls is kept: an [age], but not forever.
type recordAge time.Duration

func parseRecordAge(s string) (a recordAge, want string) {
	kept, want := parseAge(s)
	if want != "" || kept == 0 || time.Duration(kept) > maxRecordAge {
		return 0, "must be a time from 1h to 365d, such as 7d: it bounds how long addresses are kept"
	}
	return recordAge(kept), ""
}

// traffic checks and translates the section.
func (d *doc) traffic() Traffic {
	t := &d.file.Traffic
	if t.MaxMB < minRecordMB || t.MaxMB > maxRecordMB {
		d.report(&t.MaxMB, "must lie between %d and %d (megabytes)", minRecordMB, maxRecordMB)
	}
	return Traffic{Record: t.Record, Keep: time.Duration(t.Keep), MaxBytes: int64(t.MaxMB) * megabyte}
}
