package admin

import (
	"net/http"

	"trackway"
	"trackway/internal/audit"
	"trackway/internal/config"
	"trackway/internal/config/things"
)

// thing is a project, limit, override or destination in an answer.
type thing struct {
	Name     string         `json:"name"`
	Managed  bool           `json:"managed"`  // the program owns it
	Place    string         `json:"place"`    // where it is written; empty: it is a default
	Secrets  []string       `json:"secrets"`  // settings that are given, and never shown
	Settings map[string]any `json:"settings"` // as they are written
}

func shown(t *things.Thing) thing {
	return thing{t.Name, t.Managed, t.Place, append([]string{}, t.Secrets...), t.Settings}
}

// listThings answers with all things of a kind.
func (c *call) listThings() error {
	k, err := c.read()
	if err != nil {
		return err
	}
	all := []thing{}
	for _, t := range k.Things(c.kind) {
		all = append(all, shown(&t))
	}
	return c.answer(http.StatusOK, map[string][]thing{c.kind: all})
}

// thing answers with the thing that the path names.
func (c *call) thing() error { return c.thingNow(http.StatusOK) }

func (c *call) thingNow(status int) error {
	k, err := c.read()
	if err != nil {
		return err
	}
	t := k.Thing(c.kind, c.name)
	if t == nil {
		return c.unknown()
	}
	c.w.Header().Set("Etag", c.tag(t.Whole))
	return c.answer(status, shown(t))
}

func (c *call) unknown() error {
	return &trackway.Error{Code: trackway.NotFound, Field: "name", Msg: "There is no such thing."}
}

// putThing makes a thing, or replaces it as a whole.
func (c *call) putThing() error {
	settings, err := c.body(false)
	if err != nil {
		return err
	}
	status := http.StatusOK
	err = c.changed(func(k *config.Keys) (*audit.Entry, error) {
		whole, what := "", "replaced "
		if t := k.Thing(c.kind, c.name); t == nil {
			status, what = http.StatusCreated, "added "
		} else {
			whole = t.Whole
		}
		if err := c.may(whole); err != nil {
			return nil, err
		}
		changes, err := k.Put(c.kind, c.name, settings)
		if err != nil || !changes {
			return nil, err
		}
		return &audit.Entry{Action: audit.ConfigChange, Target: c.kind, Detail: what + c.name}, nil
	})
	if err != nil {
		return err
	}
	return c.thingNow(status)
}

// deleteThing removes a thing.
func (c *call) deleteThing() error {
	err := c.changed(func(k *config.Keys) (*audit.Entry, error) {
		t := k.Thing(c.kind, c.name)
		if t == nil {
			return nil, c.unknown()
		}
		if err := c.may(t.Whole); err != nil {
			return nil, err
		}
		if err := k.Delete(c.kind, c.name); err != nil {
			return nil, err
		}
		return &audit.Entry{Action: audit.ConfigChange, Target: c.kind, Detail: "removed " + c.name}, nil
	})
	if err != nil {
		return err
	}
	return c.gone()
}
