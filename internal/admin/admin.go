// Package admin answers the admin API: /api/admin/…. It changes what the
// managed file has, by the same function as the pages and the commands, and the
// change is in force when the answer comes. The steps of the public listener
// (internal/api) come first: they find the address, count the call, check the
// key and read the body.
package admin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"trackway"
	"trackway/internal/audit"
	"trackway/internal/config"
	"trackway/internal/config/things"
	"trackway/internal/people"
)

// Config has the parts of a server. All fields are required.
type Config struct {
	// Read reads the configuration. Change changes the managed file and puts
	// the change in force, or returns an error and changes nothing.
	Read   func() (*config.Keys, error)
	Change func(func(*config.Keys) error) error

	Sessions func() []people.Session
	SignOut  func(user string) int

	// Caller returns the name of the key that a request came with.
	Caller func(*http.Request) string

	Audit *audit.Log
}

// Server answers the admin API. Safe for concurrent use.
type Server struct {
	Config

	process   []byte // random: signs entity tags, so that nobody guesses a secret by them
	passwords people.Passwords
	routes    map[string]func(*call) error
}

// New returns a server.
func New(c Config) *Server {
	s := &Server{Config: c, process: []byte(rand.Text()), routes: make(map[string]func(*call) error)}
	for _, kind := range things.Kinds() {
		path := "/api/admin/" + kind
		s.routes["GET "+path] = ofKind(kind, (*call).listThings)
		s.routes["GET "+path+"/{name}"] = ofKind(kind, (*call).thing)
		s.routes["PUT "+path+"/{name}"] = ofKind(kind, (*call).putThing)
		s.routes["DELETE "+path+"/{name}"] = ofKind(kind, (*call).deleteThing)
	}
	const keys, users = "/api/admin/projects/{name}/keys", "/api/admin/users"
	s.routes["GET /api/admin/keys"] = (*call).listServerKeys
	s.routes["GET "+keys] = (*call).listKeys
	s.routes["POST "+keys] = (*call).addKey
	s.routes["GET "+keys+"/{key}"] = (*call).key
	s.routes["DELETE "+keys+"/{key}"] = (*call).revokeKey
	s.routes["POST "+keys+"/{key}/rotate"] = (*call).rotateKey
	s.routes["GET "+users] = (*call).listUsers
	s.routes["GET "+users+"/{name}"] = (*call).user
	s.routes["PUT "+users+"/{name}"] = (*call).putUser
	s.routes["DELETE "+users+"/{name}"] = (*call).deleteUser
	s.routes["GET "+users+"/{name}/sessions"] = (*call).listSessions
	s.routes["DELETE "+users+"/{name}/sessions"] = (*call).endSessions
	return s
}

func ofKind(kind string, do func(*call) error) func(*call) error {
	return func(c *call) error {
		c.kind = kind
		return do(c)
	}
}

// Handler returns the handler of a route such as "GET /api/admin/limits", or
// nil if there is no such route. Its errors are those that package api answers.
func (s *Server) Handler(route string) func(http.ResponseWriter, *http.Request, netip.Addr, func()) error {
	do, ok := s.routes[route]
	if !ok {
		return nil
	}
	return func(w http.ResponseWriter, r *http.Request, from netip.Addr, _ func()) error {
		w.Header().Set("Cache-Control", "no-store")
		return (&call{Server: s, w: w, r: r, name: r.PathValue("name"), from: from, now: time.Now()}).do(do)
	}
}

// call is one request.
type call struct {
	*Server

	w    http.ResponseWriter
	r    *http.Request
	kind string // of things; empty: it is about keys or users
	name string // in the path
	from netip.Addr
	now  time.Time
}

// do answers the call. It answers the mistakes that a caller can mend with
// statuses and problems that other routes do not have.
func (c *call) do(do func(*call) error) error {
	err := do(c)
	if found, ok := errors.AsType[*refusal](err); ok {
		return c.answer(found.status, found)
	}
	known, ok := errors.AsType[*trackway.Error](err)
	if !ok {
		return err
	}
	switch known.Code {
	case trackway.Conflict:
		return c.answer(http.StatusConflict, refuse(http.StatusConflict, known.Field, known.Msg))
	case trackway.Invalid, trackway.Forbidden: // of a user or a password
		return c.answer(http.StatusUnprocessableEntity, refuse(http.StatusUnprocessableEntity, known.Field, known.Msg))
	case trackway.NotFound:
		return c.answer(http.StatusNotFound, refuse(http.StatusNotFound, known.Field, known.Msg))
	}
	return err
}

// changed changes the configuration. An entry of the audit log is written
// before the change: if that fails, nothing is changed. edit returns the entry,
// or nil if there is nothing to change.
func (c *call) changed(edit func(*config.Keys) (*audit.Entry, error)) error {
	var entry *audit.Entry
	read := false
	err := c.Change(func(k *config.Keys) (err error) {
		read = true
		made, err := edit(k)
		if err != nil || made == nil {
			return err
		}
		made.Actor, made.Via, made.Address, made.Outcome = c.Caller(c.r), audit.API, audit.AddressText(c.from), audit.Allowed
		if err := c.Audit.Add(made); err != nil {
			return err
		}
		entry = made
		return nil
	})
	if err != nil && entry != nil {
		err = c.Audit.Failed(entry, err)
	}
	return c.wrong(err, read)
}

// read reads the configuration.
func (c *call) read() (*config.Keys, error) {
	k, err := c.Read()
	return k, c.wrong(err, false)
}

// wrong returns a refusal in place of the mistakes of a configuration. They are
// the caller's if the configuration was right before.
func (c *call) wrong(err error, caller bool) error {
	found, ok := errors.AsType[config.InvalidError](err)
	if !ok {
		return err
	}
	r := &refusal{status: http.StatusUnprocessableEntity}
	if !caller {
		r = refuse(http.StatusConflict, "", "The configuration is wrong already, without this change. Mend it first.")
	}
	for _, p := range found {
		own := strings.TrimPrefix(p.Field, c.kind+"."+c.name+".")
		if strings.HasPrefix(own, "keys[") { // of the key that is added
			_, own, _ = strings.Cut(own, "].")
		}
		p.Field = ""
		r.Errors = append(r.Errors, fault{Field: own, Message: p.String()})
	}
	return r
}

// may compares the preconditions of the call with what the thing is now. An
// empty text means that it does not exist.
func (c *call) may(whole string) error {
	match, none := c.r.Header["If-Match"], c.r.Header["If-None-Match"]
	tag := c.tag(whole)
	failed := len(match) > 0 && (whole == "" || !strong(match, tag)) ||
		len(none) > 0 && whole != "" && strong(none, tag)
	if failed {
		return refuse(http.StatusPreconditionFailed, "", "It is not what If-Match or If-None-Match says: others have changed it. Read it again.")
	}
	return nil
}

// strong reports whether a field If-Match or If-None-Match has an entity tag.
// We have no weak ones (RFC 9110, section 13.1.1).
func strong(field []string, tag string) bool {
	for _, line := range field {
		for one := range strings.SplitSeq(line, ",") {
			if one = strings.TrimSpace(one); one == tag || one == "*" {
				return true
			}
		}
	}
	return false
}

// tag returns an entity tag.
func (c *call) tag(whole string) string {
	sum := hmac.New(sha256.New, c.process)
	_, _ = sum.Write([]byte(whole)) // it never fails
	return `"` + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:16]) + `"`
}
