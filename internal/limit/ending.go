package limit

import (
	"time"

	"trackway"
)

// InForce returns those of the overrides that have not ended, and when the next
// of them ends, zero if none does.
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
