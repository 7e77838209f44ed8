package limit

import (
	"time"

	"trackway"
)

// InForce returns the overrides that have not ended, and the time at which the
// next of them ends. The time is zero if none of them ends.
func InForce(overrides []trackway.Override, now time.Time) (list []trackway.Override, end time.Time) {
	for _, o := range overrides {
		if !o.Until.IsZero() && !now.Before(o.Until) {
			continue
		}
		list = append(list, o)
		if !o.Until.IsZero() && (end.IsZero() || o.Until.Before(end)) {
			end = o.Until
		}
	}
	return list, end
}
