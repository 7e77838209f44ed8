// Package passing carries a question from the server that received it, and that
// lacks what the caller has seen, to the server that leads the cluster. It also
// carries calls of all kinds to a server that holds the data of their project,
// if the receiving one does not. The receiving server has let the caller in and
// counted the call. It tells who the caller is, and the other one believes it:
// only members can connect to it. ADRs 35 and 38 give the reasons.
package passing

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"time"

	"trackway"
	"trackway/internal/piecewise"
)

// Caller is who asks, as the receiving server has found.
type Caller struct {
	Project string // its token
	Key     Key
	Addr    netip.Addr
	Holder  bool  `json:",omitempty"` // the call is for a server that holds the data; else a question for the leader
	User    *User `json:",omitempty"` // of the pages; nil: the caller has a key
}

// User is a user of the pages, who has a role in the project.
type User struct{ Name, Role string }

// Key is what a key may do.
type Key struct {
	Name        string
	Kind        trackway.KeyKind
	Permissions map[trackway.Permission][]string
}

const (
	// callerField has the Caller, in JSON, in Base64.
	callerField = "Trackway-Caller"

	// freeField in an answer says that the call costs nothing.
	freeField = "Trackway-Free"

	host      = "leader"
	pieceTime = 30 * time.Second // that a piece of an answer may take to come
	workTime  = 2 * time.Minute  // that the first one may take if something has to be done for it
)

// fields are those of requests and answers that are passed on.
var (
	asked    = []string{"Content-Type", "If-None-Match", "Trackway-Position", "User-Agent", "X-Request-Id", "X-Search"}
	answered = []string{
		"Content-Type", "Content-Length", "Content-Disposition", "Etag", "Cache-Control", "Last-Modified", "Retry-After", "Trackway-Position", "Vary",
		"Www-Authenticate", "X-Content-Type-Options",
	}
)

// Pass has the leader answer a request for uri, and passes its answer on. The
// body may be nil. If begun is false, nothing was answered. An answer that
// costs nothing calls free before it begins.
func Pass(
	ctx context.Context, leader http.RoundTripper, w http.ResponseWriter, r *http.Request, uri string, body []byte, c *Caller, free func(),
) (status int, begun bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := pieceTime
	if c.Holder && r.Method == http.MethodPost {
		first = workTime
	}
	late := time.AfterFunc(first, cancel)
	defer late.Stop()
	req, err := http.NewRequestWithContext(ctx, r.Method, "http://"+host+uri, bytes.NewReader(body))
	if err != nil {
		return 0, false, err
	}
	copyFields(req.Header, r.Header, asked)
	req.Header["X-Request-Id"] = w.Header()["X-Request-Id"]
	text, err := json.Marshal(c)
	if err != nil {
		return 0, false, err
	}
	req.Header.Set(callerField, base64.RawURLEncoding.EncodeToString(text))
	res, err := leader.RoundTrip(req)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = res.Body.Close() }() // it was read, or nobody wants it
	if Elsewhere(res) {
		return 0, false, ErrNotCarriedOut
	}
	if res.Header.Get(freeField) != "" {
		free()
	}
	copyFields(w.Header(), res.Header, answered)
	w.WriteHeader(res.StatusCode)
	if n := res.ContentLength; n > 0 && n <= shortAnswer {
		return res.StatusCode, true, whole(w, res.Body, int(n))
	}
	return res.StatusCode, true, pieces(w, res.Body, late)
}

// shortAnswer is the size of answers that are passed on at once. Those to calls
// that bring commands have a few bytes.
const shortAnswer = 8 << 10

func whole(w io.Writer, from io.Reader, n int) error {
	b := make([]byte, n)
	if _, err := io.ReadFull(from, b); err != nil {
		return err
	}
	_, _ = w.Write(b) // if the client has gone there is nobody to tell
	return nil
}

// pieces passes the pieces of an answer on. The client has to read them at a
// minimum rate. Its time does not count for late.
func pieces(w http.ResponseWriter, from io.Reader, late *time.Timer) error {
	out := piecewise.To(w)
	b := make([]byte, piecewise.Size)
	for n := 0; ; {
		m, err := from.Read(b[n:])
		n += m
		if n > 0 && (err != nil || n == len(b)) {
			late.Stop()
			if out.Send(b[:n]) != nil {
				return nil //nolint:nilerr // the client has gone, so there is nobody to tell
			}
			late.Reset(pieceTime)
			n = 0
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func copyFields(to, from http.Header, names []string) {
	for _, name := range names {
		if values := from[name]; values != nil {
			to[name] = values
		}
	}
}

// Free notes that the answer to a call that was passed on costs nothing.
func Free(h http.Header) { h.Set(freeField, "1") }

type key struct{}

// Of returns who has asked the server that passed a request on, or nil if the
// request was not passed on.
func Of(ctx context.Context) *Caller {
	c, _ := ctx.Value(key{}).(*Caller)
	return c
}

// Handler serves requests that other members pass on.
func Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := new(Caller)
		text, err := base64.RawURLEncoding.DecodeString(r.Header.Get(callerField))
		if err == nil {
			err = json.Unmarshal(text, c)
		}
		if err != nil {
			http.Error(w, "a member passes on who has asked", http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, c)))
	})
}
