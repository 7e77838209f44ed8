package alarm

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"trackway/internal/catalogue"
	"trackway/internal/config/alarming"
	"trackway/internal/contract/book"
)

// Sample is the state of the server at one moment, apart from the counts of
// events. Numbers with the comment "so far" only grow until a restart.
type Sample struct {
	At time.Time

	DataDir  string
	DiskFull bool   // the store could not write
	Disks    []disk // those that data lies on
	Damaged  float64
	Failed   float64 // commands that the server failed to store, so far

	Certificate *time.Time // when it ends: the first of several; zero: one is missing. Nil: there is no TLS
	Renews      bool       // the server orders its certificates itself
	Erasure     time.Time  // when the oldest erasure was asked for that is not done; zero if all are done

	Destinations []Destination
	Policies     []Policy
	Projects     []Project
	Keys         []Key       // only of the newest sample
	Contracts    []book.Hour // what the contracts saw in this hour and the one before
}

// Destination is the state of a destination.
type Destination struct {
	Name            string
	Lag             time.Duration
	Paused, Stopped bool
}

// Policy is the use of a limit.
type Policy struct {
	Name           string
	Calls, Refused uint64        // so far
	Near           uint32        // how much of the limit 99 of 100 callers have used at most, in percent
	Window         time.Duration // of the limit
}

// Project is what a project has sent.
type Project struct {
	Name              string
	Commands, Refused uint64 // so far

	// New are the types of events that came for the first time long after the
	// project's first event.
	New []catalogue.Beginning

	// Changed are the properties whose values got another JSON type long after
	// the first one.
	Changed []catalogue.Changed
}

// Key is what came by a key of a project in the last ten minutes.
type Key struct {
	Project, Name     string
	Commands, Refused uint64
}

// The times over which numbers are compared, as in packaging/prometheus.
const (
	failWindow   = 5 * time.Minute
	refuseWindow = 10 * time.Minute
	mostSamples  = 64 // that are kept: enough for refuseWindow
)

// recent holds the samples of the last minutes, oldest first.
type recent struct{ samples []Sample }

// add adds a sample, and forgets those that no window needs.
func (r *recent) add(s *Sample) {
	if n := len(r.samples); n > 0 {
		r.samples[n-1].Keys = nil // there may be thousands, and they know their ten minutes themselves
	}
	r.samples = append(r.samples, *s)
	drop := 0
	for drop+1 < len(r.samples) && (s.At.Sub(r.samples[drop+1].At) >= refuseWindow || len(r.samples)-drop > mostSamples) {
		drop++
	}
	r.samples = slices.Delete(r.samples, 0, drop)
}

// grown returns by how much a number has grown within a window, or since the
// first sample.
func grown[T uint64 | float64](r *recent, window time.Duration, number func(*Sample) (T, bool)) T {
	last := &r.samples[len(r.samples)-1]
	now, _ := number(last)
	for i := range r.samples {
		s := &r.samples[i]
		before, known := number(s)
		if known && (last.At.Sub(s.At) <= window || i+1 < len(r.samples) && last.At.Sub(r.samples[i+1].At) < window) {
			return max(now, before) - before
		}
	}
	return 0
}

// seenWithin reports whether a sample of the last time is as some function
// says.
func (r *recent) seenWithin(window time.Duration, is func(*Sample) bool) bool {
	last := r.samples[len(r.samples)-1].At
	return slices.ContainsFunc(r.samples, func(s Sample) bool { return last.Sub(s.At) <= window && is(&s) })
}

// ruleFor returns the first rule of a kind that covers a subject, or nil.
func ruleFor(rules []alarming.Rule, kind string, covers func(*alarming.Rule) bool) *alarming.Rule {
	for i := range rules {
		if rules[i].Kind == kind && covers(&rules[i]) {
			return &rules[i]
		}
	}
	return nil
}

func covers(name, subject string) bool { return name == "" || name == subject }

// judgeSample returns what the rules say about the newest sample. The rules
// about silence and about the time of a stop say nothing here.
func judgeSample(rules []alarming.Rule, r *recent) []verdict {
	var all []verdict
	s := &r.samples[len(r.samples)-1]
	say := func(kind, subject string, covers func(*alarming.Rule) bool, bad func(*alarming.Rule) (bool, string)) *verdict {
		rule := ruleFor(rules, kind, covers)
		if rule == nil {
			return nil
		}
		is, text := bad(rule)
		all = append(all, verdict{rule: rule, subject: subject, text: text, bad: is})
		return &all[len(all)-1]
	}
	always := func(*alarming.Rule) bool { return true }
	judgeStore(s, r, func(kind string, bad func(*alarming.Rule) (bool, string)) { _ = say(kind, "", always, bad) })
	if rule := ruleFor(rules, alarming.DiskNearlyFull, always); rule != nil {
		for i := range s.Disks {
			all = append(all, judgeDisk(rule, &s.Disks[i], s.DataDir))
		}
	}
	for i := range s.Destinations {
		d := &s.Destinations[i]
		of := func(rule *alarming.Rule) bool { return covers(rule.Destination, d.Name) }
		say(alarming.DestinationLags, d.Name, of, func(rule *alarming.Rule) (bool, string) {
			return d.Lag > rule.Age && !d.Paused, fmt.Sprintf("The destination %s lacks what was received %v ago.", d.Name, d.Lag.Round(time.Second))
		})
		say(alarming.DestinationStopped, d.Name, of, func(*alarming.Rule) (bool, string) {
			return d.Stopped, fmt.Sprintf("The destination %s has stopped, because repeating does not help.", d.Name)
		})
	}
	for i := range s.Policies {
		p := &s.Policies[i]
		of := func(rule *alarming.Rule) bool { return covers(rule.Policy, p.Name) }
		say(alarming.LimitRefuses, p.Name, of, func(rule *alarming.Rule) (bool, string) {
			calls, refused := grown(r, refuseWindow, p.number(func(p *Policy) uint64 { return p.Calls })), grown(r, refuseWindow, p.number(func(p *Policy) uint64 { return p.Refused }))
			return refused*100 > calls*uint64(rule.Percent), fmt.Sprintf("The limit %s has refused %d of %d calls in ten minutes.", p.Name, refused, calls)
		})
		say(alarming.LimitNear, p.Name, of, func(rule *alarming.Rule) (bool, string) {
			near := r.seenWithin(max(2*p.Window, time.Minute), func(s *Sample) bool {
				n, known := p.number(func(p *Policy) uint64 { return uint64(p.Near) })(s)
				return known && n >= uint64(rule.Percent)
			})
			return near, fmt.Sprintf("Callers use more than %d %% of the limit %s.", rule.Percent, p.Name)
		})
	}
	for i := range s.Contracts {
		c := &s.Contracts[i]
		of := func(rule *alarming.Rule) bool { return covers(rule.Project, c.Project) }
		say(alarming.ContractBroken, distinct(c.Project, c.Type), of, func(rule *alarming.Rule) (bool, string) {
			return c.Checked >= uint64(rule.Least) && c.Broken*100 > c.Checked*uint64(rule.Percent),
				fmt.Sprintf("%d of %d events of type %s in project %s broke their contract, in this hour and the one before.", c.Broken, c.Checked, shown(c.Type), c.Project)
		}).rests(r, c.Checked)
	}
	for i := range s.Projects {
		p := &s.Projects[i]
		of := func(rule *alarming.Rule) bool { return covers(rule.Project, p.Name) }
		commands, refused := grown(r, refuseWindow, p.number(func(p *Project) uint64 { return p.Commands })), grown(r, refuseWindow, p.number(func(p *Project) uint64 { return p.Refused }))
		say(alarming.Refusals, p.Name, of, func(rule *alarming.Rule) (bool, string) {
			return commands >= uint64(rule.Least) && refused*100 > commands*uint64(rule.Percent),
				fmt.Sprintf("%d of %d commands of project %s were refused as invalid in ten minutes.", refused, commands, p.Name)
		}).rests(r, commands)
	}
	for i := range s.Projects {
		p := &s.Projects[i]
		of := func(rule *alarming.Rule) bool { return covers(rule.Project, p.Name) }
		say(alarming.NewType, p.Name, of, func(rule *alarming.Rule) (bool, string) { return p.newTypes(s.At.Add(-rule.Age)) })
		say(alarming.ChangedType, p.Name, of, func(rule *alarming.Rule) (bool, string) {
			return p.changedTypes(s.At.Add(-rule.Age), uint64(rule.Least))
		})
	}
	for i := range s.Keys {
		k := &s.Keys[i]
		of := func(rule *alarming.Rule) bool { return covers(rule.Project, k.Project) }
		say(alarming.KeyRefused, k.Project+" / "+k.Name, of, func(rule *alarming.Rule) (bool, string) {
			return k.Commands >= uint64(rule.Least) && k.Refused*100 > k.Commands*uint64(rule.Percent),
				fmt.Sprintf("%d of %d commands by the key %s of project %s were refused in ten minutes.", k.Refused, k.Commands, k.Name, k.Project)
		}).rests(r, k.Commands)
	}
	return all
}

// rests makes a verdict unknown if it rests on too little to say that nothing
// is wrong, because counting began again with the server. Otherwise, a restart
// would end the alarm, and let it ring again.
func (v *verdict) rests(r *recent, counted uint64) {
	if v == nil || v.bad || counted >= uint64(v.rule.Least) {
		return
	}
	last := &r.samples[len(r.samples)-1]
	v.unknown = last.At.Sub(r.samples[0].At) < refuseWindow
}

// judgeDisk says whether a disk is nearly full.
func judgeDisk(rule *alarming.Rule, d *disk, dataDir string) verdict {
	v := verdict{rule: rule, subject: d.Folder, unknown: d.Bytes == 0}
	of := d.Folder
	if of == dataDir {
		v.subject, of = "", "the data directory"
	}
	percent := float64(d.Free) * 100 / float64(max(d.Bytes, 1))
	v.bad = percent < float64(rule.Percent)
	v.text = fmt.Sprintf("The disk of %s has %.1f GB left, which is %.0f %% of it.", of, float64(d.Free)/1e9, percent)
	return v
}

// newTypes reports whether types of events came for the first time since some
// time. It names the newest one only: anybody can invent types.
func (p *Project) newTypes(since time.Time) (bool, string) {
	count, newest := 0, catalogue.Beginning{}
	for _, one := range p.New {
		if one.First.Before(since) {
			continue
		}
		if count++; one.First.After(newest.First) {
			newest = one
		}
	}
	what := "One new type of events has come"
	if count > 1 {
		what = fmt.Sprintf("%d new types of events have come", count)
	}
	return count > 0, what + " in project " + p.Name + ", the newest of them: " + shown(newest.Type) + "."
}

// changedTypes reports whether values of properties came with a new JSON type
// since some time, and at least so many of them. As with new types, it names
// the newest one only.
func (p *Project) changedTypes(since time.Time, least uint64) (bool, string) {
	count, newest := 0, catalogue.Changed{}
	for _, one := range p.Changed {
		if one.First.Before(since) || one.Values < least {
			continue
		}
		if count++; one.First.After(newest.First) {
			newest = one
		}
	}
	what := "One property has"
	if count > 1 {
		what = fmt.Sprintf("%d properties have", count)
	}
	return count > 0, fmt.Sprintf("%s values of a new JSON type in project %s, the newest of them: %s of type %s (%s, before %s).",
		what, p.Name, shown(newest.Property), shown(newest.Type), newest.Now, newest.Before)
}

// number returns how to read a number of this policy from any sample.
func (p *Policy) number(of func(*Policy) uint64) func(*Sample) (uint64, bool) {
	return func(s *Sample) (uint64, bool) {
		i := slices.IndexFunc(s.Policies, func(other Policy) bool { return other.Name == p.Name })
		if i < 0 {
			return 0, false
		}
		return of(&s.Policies[i]), true
	}
}

// number returns how to read a number of this project from any sample.
func (p *Project) number(of func(*Project) uint64) func(*Sample) (uint64, bool) {
	return func(s *Sample) (uint64, bool) {
		i := slices.IndexFunc(s.Projects, func(other Project) bool { return other.Name == p.Name })
		if i < 0 {
			return 0, false
		}
		return of(&s.Projects[i]), true
	}
}

// judgeStore judges what is about the server as a whole.
func judgeStore(s *Sample, r *recent, say func(kind string, bad func(*alarming.Rule) (bool, string))) {
	say(alarming.DiskFull, func(*alarming.Rule) (bool, string) {
		return s.DiskFull, "The disk is full: the server answers 503 to everything that would be stored."
	})
	say(alarming.StoreDamaged, func(*alarming.Rule) (bool, string) {
		return s.Damaged > 0, fmt.Sprintf("%.0f places of the store could not be read.", s.Damaged)
	})
	say(alarming.CommandsFail, func(*alarming.Rule) (bool, string) {
		n := grown(r, failWindow, func(s *Sample) (float64, bool) { return s.Failed, true })
		return n > 0, fmt.Sprintf("%.0f commands could not be stored in five minutes. Their clients try again.", n)
	})
	if at := s.Certificate; at != nil {
		if !s.Renews {
			say(alarming.CertificateEnds, func(rule *alarming.Rule) (bool, string) {
				return at.Sub(s.At) < rule.Age, "The certificate ends on " + at.UTC().Format("2006-01-02 15:04 UTC") + "."
			})
		}
		say(alarming.CertificateInvalid, func(*alarming.Rule) (bool, string) {
			return at.Before(s.At), "A certificate has ended, or a host has none yet. Clients cannot connect."
		})
	}
	say(alarming.ErasureLate, func(rule *alarming.Rule) (bool, string) {
		return !s.Erasure.IsZero() && s.At.Sub(s.Erasure) > rule.Age,
			"An erasure is not done that was asked for on " + s.Erasure.UTC().Format("2006-01-02 15:04 UTC") + "."
	})
}

// Headline names an alarm in a few words.
func Headline(kind, subject string) string {
	text := strings.ReplaceAll(kind, "_", " ")
	text = strings.ToUpper(text[:1]) + text[1:]
	if subject != "" {
		text += ": " + subject
	}
	return text
}
