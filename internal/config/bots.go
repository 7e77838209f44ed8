package config

import (
	"time"

	"trackway"
)

// bots is the section that has suspect customers labeled.
type bots struct {
	Label    bool          `yaml:"label"`
	Property string        `yaml:"property"`
	Pace     uint32        `yaml:"pace"`
	Repeats  uint32        `yaml:"repeats"`
	Regular  time.Duration `yaml:"regular"`
	OneHit   uint32        `yaml:"one_hit"`
}

// usualBots are rules that no person breaks by clicking.
func usualBots() bots {
	return bots{Property: "suspect", Pace: 1200, Repeats: 200, Regular: 6 * time.Hour, OneHit: 50}
}

const (
	leastRegular, mostRegular = time.Hour, 7 * 24 * time.Hour
	mostOfRule                = 1_000_000
)

// bots checks and translates the section of a project.
func (r keyring) bots(p *project) trackway.Bots {
	b := &p.Bots
	if n := len(b.Property); n == 0 || n > trackway.MaxNameBytes {
		r.report(&b.Property, "must be the name of a property, in 1 to %d bytes", trackway.MaxNameBytes)
	}
	for _, rule := range []*uint32{&b.Pace, &b.Repeats, &b.OneHit} {
		if *rule == 1 || *rule > mostOfRule {
			r.report(rule, "must lie between 2 and %d, or be 0 for no such rule", mostOfRule)
		}
	}
	if b.Regular != 0 && (b.Regular < leastRegular || b.Regular > mostRegular) {
		r.report(&b.Regular, "must lie between 1h and 168h, or be 0 for no such rule")
	}
	rules := trackway.Bots{Pace: int(b.Pace), Repeats: int(b.Repeats), Regular: b.Regular, OneHit: int(b.OneHit)}
	if b.Label {
		rules.Property = b.Property
	}
	return rules
}
