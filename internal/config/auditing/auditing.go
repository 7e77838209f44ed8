// Package auditing is the section of the configuration that says how long the
// audit log is kept.
package auditing

import (
	"time"

	"trackway/internal/config/document"
	"trackway/internal/config/scalar"
)

// Audit is the section.
type Audit struct {
	Keep scalar.Age `yaml:"keep"` // 0: forever
}

const (
	day   = 24 * time.Hour
	least = 30 * day // a shorter time would let a change of this setting hide what was done
	usual = 365 * day
)

// Defaults returns the section that applies if nothing is set.
func Defaults() Audit { return Audit{scalar.Age(usual)} }

// Check checks the section.
func (a *Audit) Check(d *document.Doc) {
	if a.Keep != 0 && time.Duration(a.Keep) < least {
		d.Report(&a.Keep, "must be at least 30d, or forever")
	}
}
