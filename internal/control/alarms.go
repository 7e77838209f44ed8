package control

import (
	"context"
	"strings"
	"time"

	"trackway/internal/alarm"
	"trackway/internal/alarm/notify"
	"trackway/internal/audit"
)

// alarms is what operators can do with alarms.
type alarms interface {
	Report(now time.Time) alarm.Report

	// Try sends a trial message to the receivers with some names, or to all. It
	// returns false if there is no receiver of a name.
	Try(ctx context.Context, names []string) (results []notify.Tried, known bool)

	// Simulate says when alarms about silence would have rung.
	Simulate(ctx context.Context, q alarm.Question) (*alarm.Simulation, error)
}

// alarmRoutes returns the routes for alarms.
func alarmRoutes() map[string]func(*call) error {
	return map[string]func(*call) error{
		"GET /alarms":          (*call).alarms,
		"POST /alarms/test":    (*call).tryAlarms,
		"GET /alarms/simulate": (*call).simulateAlarms,
	}
}

func (c *call) alarms() error { return c.json(c.Alarms.Report(time.Now())) }

// tryAlarms answers with what the receivers say. If one fails, that is not an
// error of the call.
func (c *call) tryAlarms() error {
	names := c.query["name"]
	if err := c.Audit.Add(c.entry(audit.AlarmTest, strings.Join(names, ", "))); err != nil {
		return err
	}
	results, known := c.Alarms.Try(c.r.Context(), names)
	if !known {
		return refuse("name", "There is no receiver of that name.")
	}
	return c.json(results)
}

func (c *call) simulateAlarms() error {
	q, err := alarm.ReadQuestion(c.query)
	if err != nil {
		return err
	}
	out, err := c.Alarms.Simulate(c.r.Context(), q)
	if err != nil {
		return err
	}
	return c.json(out)
}
