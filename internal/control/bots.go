package control

import (
	"time"

	"trackway/internal/suspect"
)

// bots answers with what was noticed of suspect customers of a project.
func (c *call) bots() error {
	p, err := c.project()
	if err != nil {
		return err
	}
	return c.json(c.Suspects.View(p, time.Now()))
}

// simulateBots answers with what rules would have labeled.
func (c *call) simulateBots() error {
	p, err := c.project()
	if err != nil {
		return err
	}
	q, err := suspect.ReadQuestion(c.query, p.Bots)
	if err != nil {
		return err
	}
	s := c.Store.Snapshot()
	defer func() { _ = s.Close() }()
	out, err := suspect.Simulate(c.r.Context(), s, p, q, time.Now())
	if err != nil {
		return err
	}
	return c.json(out)
}
