// Package mirror passes on what a store has accepted to another tracking
// server: the vendor that a migration leaves, or a second Trackway. It makes
// commands of the tracking API from the changes, so that the other side ends
// with the same customers and events. docs/adr/0016-mirror.md says why it does
// not pass on the requests themselves.
//
// Commands arrive in the order of changes, one request at a time. The other
// side keeps no position for us, so after a crash up to a batch is sent again.
// Events carry their time, so a server that recognizes duplicates stores them
// once.
package mirror

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/outbound"
	"trackway/internal/sleep"
)

const (
	maxBody   = 512 << 10        // size of a request in bytes, unless a single command is larger
	gzipFrom  = 1 << 10          // minimum size of a body in bytes for compression to pay
	patience  = 30 * time.Second // for a request
	maxAnswer = 1 << 20          // bytes read of an answer
	apiPath   = "/track/v2/projects/"
)

// Sink sends batches to another tracking server. Make one with [New].
type Sink struct {
	projects  func() []trackway.Project
	names     []string
	token     string // token of the project there, if it differs from ours
	basic     string // the header Authorization, if a user was given
	tag       string // a soft identifier there for our customers' numbers; may be empty
	http      *outbound.Client
	notBefore time.Time // when the limit of the other side permits the next request

	// The batch that was not accepted as a whole, and how much of it is done,
	// so that another attempt sends only the rest.
	batch   *destination.Batch
	rows    []row
	rejects []destination.Reject
}

// Keeper is a sink that does not pass on erasures, because the other side does
// not know our customers' numbers, or because the sink has no key that may
// erase.
type Keeper struct{ *Sink }

// KeepsErased says that the other side keeps what an erasure removes.
func (Keeper) KeepsErased() {}

// New returns a [Sink] or a [Keeper]. It sends nothing. projects returns the
// projects of the configuration in force. Without a user, the sink sends with
// the project's own public key, as SDKs do with either server.
func New(d config.Destination, projects func() []trackway.Project) (destination.Sink, error) {
	s := &Sink{projects: projects, names: d.Projects, tag: d.Identifier}
	base := d.URL
	if u, err := url.Parse(d.URL); err == nil {
		if before, token, ok := strings.Cut(u.Path, apiPath); ok {
			if s.token = strings.Trim(token, "/"); s.token == "" || strings.Contains(s.token, "/") {
				return nil, errors.New("a path of the URL must end in " + apiPath + " and the token of a project")
			}
			if len(d.Projects) != 1 {
				return nil, errors.New("the URL names a project, so projects must name exactly one, too")
			}
			u.Path, u.RawPath = before, ""
			base = u.String()
		}
		if u.User != nil {
			return nil, errors.New("give user and password as settings, not in the URL")
		}
	}
	client, err := outbound.New(base, d.Allow, 1, patience, maxAnswer)
	if err != nil {
		return nil, err
	}
	s.http = client
	if d.User != "" {
		s.basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(d.User+":"+d.Password))
	}
	if !s.erases() {
		return Keeper{s}, nil
	}
	return s, nil
}

// erases reports whether the sink can pass on erasures.
func (s *Sink) erases() bool { return s.tag != "" && s.basic != "" }

// JoinsHolders says that commands name the customer of an event.
func (*Sink) JoinsHolders() {}

// Prepare connects to the other side, and sends nothing.
func (s *Sink) Prepare(ctx context.Context) (destination.Position, error) {
	return destination.Position{Number: destination.Unkept}, s.http.Reach(ctx)
}

// Write sends the commands of a batch, one request after the other. It returns
// the error of the first request that was not answered with results.
func (s *Sink) Write(ctx context.Context, b *destination.Batch) ([]destination.Reject, error) {
	if s.batch != b {
		s.batch, s.rows, s.rejects = b, rowsOf(b, s.tag != ""), nil
	}
	for len(s.rows) > 0 {
		rejects, done, err := s.step(ctx)
		if err != nil {
			return nil, err
		}
		s.rejects = append(s.rejects, rejects...)
		s.rows = s.rows[done:]
	}
	rejects := s.rejects
	s.forget()
	return rejects, nil
}

func (s *Sink) forget() { s.batch, s.rows, s.rejects = nil, nil, nil }

// step sends the next request, and counts the rows that are done.
func (s *Sink) step(ctx context.Context) (rejects []destination.Reject, done int, err error) {
	project := s.rows[0].project()
	if c := s.rows[0].customer; c != nil && c.Erased {
		return nil, 1, s.erase(ctx, project, c.Customer)
	}
	var commands []command
	w := writer{tag: s.tag, store: s.batch.Store}
	for bytes := 0; done < len(s.rows) && len(commands) < trackway.MaxCommands && bytes < maxBody/2; done++ {
		r := &s.rows[done]
		if r.project() != project || r.customer != nil && r.customer.Erased {
			break
		}
		some, reason := w.commands(r)
		if reason != "" {
			rejects = append(rejects, r.reject(reason))
		}
		for i := range some {
			bytes += len(some[i].text)
		}
		commands = append(commands, some...)
	}
	if len(commands) == 0 {
		return rejects, done, nil
	}
	refused, err := s.send(ctx, project, commands)
	return append(rejects, refused...), done, err
}

// erase erases a customer on the other side. It is no error if the customer
// does not exist there.
func (s *Sink) erase(ctx context.Context, project string, c trackway.Customer) error {
	if !s.erases() {
		return nil
	}
	w := writer{tag: s.tag, store: s.batch.Store}
	ids := canonjson.AppendIDs([]byte(`{"customer_ids":`), []trackway.Identifier{w.number(c)})
	answer, err := s.post(ctx, "/data/v2/projects/", project, "/customers/anonymize", append(ids, '}'))
	if err != nil || answer.Status == http.StatusOK || answer.Status == http.StatusNotFound && unknown(answer.Body) {
		return err
	}
	if _, err = results(answer, nil, time.Now()); err == nil {
		err = errAnswer
	}
	return fmt.Errorf("erase a customer: %w", err)
}

// send sends commands. If they are too many or too large for one request, or if
// the request is refused as a whole, it sends each half separately.
func (s *Sink) send(ctx context.Context, project string, commands []command) ([]destination.Reject, error) {
	if len(commands) > trackway.MaxCommands || len(commands) > 1 && size(commands) > maxBody {
		return s.halves(ctx, project, commands)
	}
	answer, err := s.post(ctx, apiPath, project, "/batch", body(commands))
	if err != nil {
		return nil, err
	}
	reasons, err := results(answer, commands, time.Now())
	switch {
	case errors.Is(err, errTooLarge) || errors.Is(err, errRefused):
		if len(commands) == 1 {
			if err := s.vouch(ctx, project); err != nil {
				return nil, err
			}
			return []destination.Reject{commands[0].row.reject(err.Error())}, nil
		}
		return s.halves(ctx, project, commands)
	case err != nil:
		return nil, err
	}
	var rejects []destination.Reject
	for i, reason := range reasons {
		if reason != "" {
			rejects = append(rejects, commands[i].row.reject(reason))
		}
	}
	return rejects, nil
}

// vouch returns an error unless the other side accepts a command that cannot be
// at fault. Otherwise a server or a gateway that refuses every request would
// turn everything into rejects.
func (s *Sink) vouch(ctx context.Context, project string) error {
	answer, err := s.post(ctx, apiPath, project, "/batch", []byte(`{"commands":[{"name":"system/time"}]}`))
	if err != nil || answer.Status == http.StatusOK {
		return err
	}
	_, err = results(answer, nil, time.Now())
	return fmt.Errorf("it also refuses a command that only asks for the time: %w", err)
}

func (s *Sink) halves(ctx context.Context, project string, commands []command) ([]destination.Reject, error) {
	half := len(commands) / 2
	first, err := s.send(ctx, project, commands[:half])
	if err != nil {
		return nil, err
	}
	second, err := s.send(ctx, project, commands[half:])
	return append(first, second...), err
}

func size(commands []command) int {
	n := 0
	for i := range commands {
		n += len(commands[i].text) + 1
	}
	return n
}

func body(commands []command) []byte {
	b := append(make([]byte, 0, size(commands)+len(`{"commands":[]}`)), `{"commands":[`...)
	for i := range commands {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, commands[i].text...)
	}
	return append(b, "]}"...)
}

// post posts to a route of a project as soon as the limit of the other side
// permits it.
func (s *Sink) post(ctx context.Context, before, project, after string, body []byte) (*outbound.Answer, error) {
	token, authorization, err := s.access(project)
	if err != nil {
		return nil, err
	}
	if err := sleep.For(ctx, time.Until(s.notBefore)); err != nil {
		return nil, err
	}
	header := http.Header{"Content-Type": {"application/json"}, "Authorization": {authorization}}
	if len(body) >= gzipFrom {
		header.Set("Content-Encoding", "gzip")
		body = compressed(body)
	}
	answer, err := s.http.Do(ctx, http.MethodPost, before+url.PathEscape(token)+after, header, body)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	s.notBefore = now.Add(pause(answer, now))
	return answer, nil
}

func compressed(body []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level exists
	_, _ = w.Write(body)
	_ = w.Close()
	return b.Bytes()
}

// access returns the token of a project on the other side, and the header
// Authorization.
func (s *Sink) access(project string) (token, authorization string, err error) {
	all := s.projects()
	at := slices.IndexFunc(all, func(p trackway.Project) bool { return p.Name == project })
	if at < 0 {
		return "", "", fmt.Errorf("the project %q is not configured any more", project)
	}
	p := &all[at]
	token, authorization = s.token, s.basic
	if token == "" {
		token = p.Token
	}
	if authorization == "" {
		i := slices.IndexFunc(p.Keys, func(k trackway.Key) bool { return k.Kind == trackway.PublicKey && k.Permissions == nil })
		if i < 0 {
			return "", "", fmt.Errorf("the project %q has no unrestricted public key: set user and password", project)
		}
		authorization = "Token " + p.Keys[i].ID
	}
	return token, authorization, nil
}

// Check asks the other side for its time, once for each project. A server
// answers this call only if the key may track.
func (s *Sink) Check(ctx context.Context) error {
	for _, p := range s.projects() {
		project := p.Name
		if len(s.names) > 0 && !slices.Contains(s.names, project) {
			continue
		}
		answer, err := s.get(ctx, project, apiPath, "/system/time")
		if err != nil {
			return err
		}
		if answer.Status != http.StatusOK {
			_, err := results(answer, nil, time.Now())
			return fmt.Errorf("project %q: %w", project, err)
		}
	}
	return nil
}

// get sends a GET request for a route of a project.
func (s *Sink) get(ctx context.Context, project, before, after string) (*outbound.Answer, error) {
	token, authorization, err := s.access(project)
	if err != nil {
		return nil, err
	}
	return s.http.Do(ctx, http.MethodGet, before+url.PathEscape(token)+after, http.Header{"Authorization": {authorization}}, nil)
}

// Rewind only forgets an unfinished batch, because the other side keeps no
// position.
func (s *Sink) Rewind(context.Context, destination.Position) error {
	s.forget()
	return nil
}

// Close closes the connections.
func (s *Sink) Close() error {
	s.forget()
	s.http.Close()
	return nil
}
