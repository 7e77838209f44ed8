package admin

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/audit"
	"trackway/internal/config"
	"trackway/internal/config/things"
)

// key is a key in an answer.
type key struct {
	Name          string           `json:"name"`
	Kind          trackway.KeyKind `json:"kind"`
	ID            string           `json:"id"`          // of a private key; the token of a public one
	Permissions   []string         `json:"permissions"` // null: those of every key of its kind
	PreviousUntil *time.Time       `json:"previous_until"`
	Managed       bool             `json:"managed"`
	Place         string           `json:"place"`
}

func (c *call) shownKey(k *config.Keys, p *config.PlacedKey) key {
	shown := key{Name: p.Name, Kind: p.Kind, ID: p.ID, Managed: p.File == k.ManagedPath(), Place: fmt.Sprintf("%s:%d", p.File, p.Line)}
	if p.Permissions != nil {
		shown.Permissions = []string{}
	}
	for _, what := range slices.Sorted(maps.Keys(p.Permissions)) {
		names := p.Permissions[what]
		if len(names) == 0 {
			shown.Permissions = append(shown.Permissions, string(what))
		}
		for _, name := range names {
			shown.Permissions = append(shown.Permissions, string(what)+":"+name)
		}
	}
	if c.now.Before(p.PreviousUntil) {
		shown.PreviousUntil = &p.PreviousUntil
	}
	return shown
}

// wholeOf returns a text that changes whenever a key does.
func wholeOf(p *config.PlacedKey) string {
	return fmt.Sprintf("%s %x %s %x %v %v", p.ID, p.Secret, p.PreviousID, p.PreviousSecret, p.PreviousUntil, p.Permissions)
}

// project returns the name of the project that the path names by its name or
// token.
func (c *call) project(k *config.Keys) (string, error) {
	for _, t := range k.Things(things.Projects) {
		token, _ := t.Settings["token"].(string)
		if t.Name == c.name || strings.EqualFold(token, c.name) {
			return t.Name, nil
		}
	}
	return "", &trackway.Error{Code: trackway.NotFound, Field: "name", Msg: "There is no such project."}
}

// keysOf returns the keys of the project with a name.
func keysOf(k *config.Keys, project string) []config.PlacedKey {
	return slices.DeleteFunc(k.List(), func(p config.PlacedKey) bool { return p.Project != project })
}

// find returns the project and the key that the path names.
func (c *call) find(k *config.Keys) (project string, found *config.PlacedKey, err error) {
	if project, err = c.project(k); err != nil {
		return "", nil, err
	}
	for _, p := range keysOf(k, project) {
		if p.Name == c.r.PathValue("key") {
			return project, &p, nil
		}
	}
	return "", nil, &trackway.Error{Code: trackway.NotFound, Field: "key", Msg: "The project has no such key."}
}

// listServerKeys answers with the keys for the admin API.
func (c *call) listServerKeys() error {
	k, err := c.read()
	if err != nil {
		return err
	}
	return c.answerKeys(k, config.ServerKeys)
}

// listKeys answers with the keys of a project.
func (c *call) listKeys() error {
	k, err := c.read()
	if err != nil {
		return err
	}
	project, err := c.project(k)
	if err != nil {
		return err
	}
	return c.answerKeys(k, project)
}

func (c *call) answerKeys(k *config.Keys, project string) error {
	all := []key{}
	for _, p := range keysOf(k, project) {
		all = append(all, c.shownKey(k, &p))
	}
	return c.answer(http.StatusOK, map[string][]key{"keys": all})
}

// key answers with a key.
func (c *call) key() error {
	k, err := c.read()
	if err != nil {
		return err
	}
	_, p, err := c.find(k)
	if err != nil {
		return err
	}
	c.w.Header().Set("Etag", c.tag(wholeOf(p)))
	return c.answer(http.StatusOK, c.shownKey(k, p))
}

// made is the answer that has a new secret or token, once.
type made struct {
	Name          string           `json:"name"`
	Kind          trackway.KeyKind `json:"kind"`
	ID            string           `json:"id"`
	Secret        string           `json:"secret,omitempty"`         // of a private key
	PreviousUntil *time.Time       `json:"previous_until,omitempty"` // until when the previous one works
	Unused        string           `json:"unused,omitempty"`         // a place in the operator's file
}

// addKey adds a key to a project.
func (c *call) addKey() error {
	var sent struct {
		Name        string           `json:"name"`
		Kind        trackway.KeyKind `json:"kind"`
		Permissions []string         `json:"permissions"`
	}
	if err := c.into(&sent, false); err != nil {
		return err
	}
	if sent.Kind != trackway.PublicKey && sent.Kind != trackway.PrivateKey {
		return refuse(http.StatusUnprocessableEntity, "kind", "must be public or private")
	}
	answer := made{Name: sent.Name, Kind: sent.Kind}
	err := c.changed(func(k *config.Keys) (*audit.Entry, error) {
		project, err := c.project(k)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(keysOf(k, project), func(p config.PlacedKey) bool { return p.Name == sent.Name }) {
			return nil, refuse(http.StatusConflict, "name", "The project has a key of this name already.")
		}
		if answer.ID, answer.Secret, err = k.Add(project, sent.Name, sent.Kind, sent.Permissions); err != nil {
			return nil, err
		}
		return &audit.Entry{Action: audit.KeyAdd, Project: project, Target: sent.Name}, nil
	})
	if err != nil {
		return err
	}
	return c.answer(http.StatusCreated, answer)
}

// rotateKey gives a key a new secret or token.
func (c *call) rotateKey() error {
	sent := struct {
		Overlap string `json:"overlap"`
	}{config.MaxOverlap.String()}
	if err := c.into(&sent, true); err != nil {
		return err
	}
	overlap, err := time.ParseDuration(sent.Overlap)
	if err != nil || overlap < 0 || overlap > config.MaxOverlap {
		return refuse(http.StatusUnprocessableEntity, "overlap", "must be a time from 0s to 24h, such as 1h: how long the previous secret works")
	}
	answer, until := made{Name: c.r.PathValue("key")}, c.now.Add(overlap).UTC().Truncate(time.Second)
	err = c.changed(func(k *config.Keys) (*audit.Entry, error) {
		project, p, err := c.find(k)
		if err != nil {
			return nil, err
		}
		if err := c.may(wholeOf(p)); err != nil {
			return nil, err
		}
		kind, secret, unused, err := k.Rotate(project, p.Name, until)
		if err != nil { // its secret is somewhere that the program does not write
			return nil, refuse(http.StatusConflict, "key", err.Error())
		}
		answer.Kind, answer.ID, answer.Secret, answer.Unused = kind, p.ID, secret, unused
		if kind == trackway.PublicKey {
			answer.ID, answer.Secret = secret, ""
		}
		return &audit.Entry{Action: audit.KeyRotate, Project: project, Target: p.Name}, nil
	})
	if err != nil {
		return err
	}
	if overlap > 0 {
		answer.PreviousUntil = &until
	}
	return c.answer(http.StatusOK, answer)
}

// revokeKey revokes a key, also one of the operator's file.
func (c *call) revokeKey() error {
	var unused string
	err := c.changed(func(k *config.Keys) (*audit.Entry, error) {
		project, p, err := c.find(k)
		if err != nil {
			return nil, err
		}
		if err := c.may(wholeOf(p)); err != nil {
			return nil, err
		}
		if unused, err = k.Revoke(project, p.Name); err != nil {
			return nil, err
		}
		return &audit.Entry{Action: audit.KeyRevoke, Project: project, Target: p.Name}, nil
	})
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, struct {
		Unused string `json:"unused"`
	}{unused})
}
