package dashboard

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/audit"
	"trackway/internal/people"
)

// The session of a user is in the memory of the server (internal/people), and
// the cookie holds its token. The session of the one password is a cookie that
// holds the time when the session ends, signed with a key that is derived from
// the password. So no server has to store it, all servers with the same
// password accept it, and a new password ends it. It lasts for half a day.

const (
	cookieName   = "trackway_session"
	sessionTime  = 12 * time.Hour
	expiryLength = 8 // bytes: Unix seconds, big-endian
)

// sessionKey returns the key that signs sessions.
func sessionKey(password [sha256.Size]byte) []byte {
	mac := hmac.New(sha256.New, password[:])
	mac.Write([]byte("trackway session 1"))
	return mac.Sum(nil)
}

// sign returns the cookie's value for a session that ends at a given time.
func (f *facts) sign(expires time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(expires.Unix()))
	return base64.RawURLEncoding.EncodeToString(f.mac(b).Sum(b))
}

func (f *facts) mac(expiry []byte) interface{ Sum(b []byte) []byte } {
	mac := hmac.New(sha256.New, f.key)
	mac.Write(expiry)
	return mac
}

// session returns when the session of the one password ends that a cookie
// holds. It returns the zero time if the cookie holds no valid one.
func (f *facts) session(cookie string, now time.Time) time.Time {
	if f.Password == ([sha256.Size]byte{}) {
		return time.Time{}
	}
	b, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil || len(b) != expiryLength+sha256.Size || !hmac.Equal(b[expiryLength:], f.mac(b[:expiryLength]).Sum(nil)) {
		return time.Time{}
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	if !now.Before(expires) {
		return time.Time{}
	}
	return expires
}

// who returns the session of a request and its user, or nil.
func (s *Server) who(f *facts, r *http.Request, from netip.Addr, now time.Time) (people.Session, *people.User) {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return people.Session{}, nil
	}
	if expires := f.session(cookie.Value, now); !expires.IsZero() {
		return people.Session{Expires: expires}, people.Everything
	}
	return s.sessions.Find(cookie.Value, f.Users, from, now)
}

var (
	errPassword = &trackway.Error{Code: trackway.Forbidden, Field: "password", Msg: "Wrong password."}
	errUser     = &trackway.Error{Code: trackway.Forbidden, Field: "password", Msg: "Wrong name or password."}
	errOnlyUser = &trackway.Error{Code: trackway.Forbidden, Field: "name", Msg: "Sign in with a name: there is no password without one."}
)

// ways answers with the ways to sign in.
func (q *request) ways() error {
	return q.answer(struct {
		Users    bool `json:"users"`
		Password bool `json:"password"`
	}{len(q.facts.Users) > 0, q.facts.Password != [sha256.Size]byte{}})
}

// signIn begins a session. The rate limits bound how often a client can try.
func (q *request) signIn() error {
	var sent struct {
		Name     json.RawMessage `json:"name"` // raw, to distinguish null from nothing
		Password *string         `json:"password"`
		New      json.RawMessage `json:"new_password"`
	}
	if err := json.NewDecoder(q.r.Body).Decode(&sent); err != nil || sent.Password == nil {
		return ask.Invalid("password", "a string in a JSON object")
	}
	name, goodName := optionalText(sent.Name)
	next, goodNext := optionalText(sent.New)
	switch {
	case !goodName:
		return ask.Invalid("name", "a string")
	case !goodNext:
		return ask.Invalid("new_password", "a string")
	case name != nil && *name != "":
		return q.signInUser(*name, *sent.Password, next)
	}
	if q.facts.Password == ([sha256.Size]byte{}) {
		if q.facts.closed() {
			return &trackway.Error{Code: trackway.Forbidden, Field: "password", Msg: errNoSignIn.Msg}
		}
		return errOnlyUser
	}
	sum := sha256.Sum256([]byte(*sent.Password))
	if subtle.ConstantTimeCompare(sum[:], q.facts.Password[:]) != 1 {
		q.signInFailed("")
		return errPassword
	}
	if err := q.Audit.Add(q.entryOf("", audit.SignIn, "")); err != nil {
		return err
	}
	q.leave()
	expires := q.now.Add(sessionTime).Truncate(time.Second)
	return q.signedIn(q.facts.sign(expires), expires)
}

// optionalText returns a text in JSON, or nil if there is nothing. It is not ok
// if there is something else, such as null.
func optionalText(raw json.RawMessage) (text *string, ok bool) {
	if raw == nil {
		return nil, true
	}
	err := json.Unmarshal(raw, &text)
	return text, err == nil && text != nil
}

// signInUser begins the session of a user, who may choose a new password at the
// same time.
func (q *request) signInUser(name, password string, next *string) error {
	ctx, cancel := q.deadline()
	defer cancel()
	user, err := q.passwords.Check(ctx, q.facts.Users, q.from, name, password)
	if err != nil {
		return err
	}
	if user == nil {
		q.signInFailed(strings.ToLower(name))
		return errUser
	}
	if next != nil {
		if user, err = q.setPassword(user, *next); err != nil {
			return err
		}
	}
	if err := q.Audit.Add(q.entryOf(user.Name, audit.SignIn, "")); err != nil {
		return err
	}
	q.leave()
	token, session := q.sessions.Begin(user, q.from, q.now, sessionTime)
	return q.signedIn(token, session.Expires)
}

// setPassword gives a user a new password, unless the present one is no longer
// that of the user.
func (q *request) setPassword(user *people.User, password string) (*people.User, error) {
	next := *user
	var err error
	if next.Password, err = q.hashed(user.Name, password); err != nil {
		return nil, err
	}
	return &next, q.changeUsers(q.entryOf(user.Name, audit.UserPassword, user.Name), func(users people.List) (people.List, error) {
		return users.Change(user.Name, func(now people.User) (people.User, error) {
			if now.Stamp() != user.Stamp() {
				return now, errUser
			}
			return next, nil
		})
	})
}

// hashed returns a good new password in the form in which it is kept.
func (q *request) hashed(name, password string) (string, error) {
	if err := people.CheckPassword(name, password); err != nil {
		return "", err
	}
	ctx, cancel := q.deadline()
	defer cancel()
	return q.passwords.Hash(ctx, password)
}

func (q *request) signedIn(cookie string, expires time.Time) error {
	http.SetCookie(q.w, q.cookie(cookie, int(sessionTime/time.Second)))
	return q.answer(struct {
		Expires seconds `json:"expires"`
	}{secondsOf(expires)})
}

// signOut ends the session of a user; that of the one password only in this
// browser.
func (q *request) signOut() error {
	if _, user := q.who(q.facts, q.r, q.from, q.now); user != nil {
		e := q.entryOf(user.Name, audit.SignOut, "")
		e.Outcome = audit.Done
		defer q.Audit.Note(e)
	}
	q.leave()
	http.SetCookie(q.w, q.cookie("", -1))
	return q.answer(done{true})
}

// leave ends the user's session that this browser has, if any. Otherwise it
// would go on after the browser has forgotten it.
func (q *request) leave() {
	if session, user := q.who(q.facts, q.r, q.from, q.now); user != nil && session.ID != "" {
		q.sessions.End(func(o *people.Session) bool { return o.ID == session.ID })
	}
}

// cookie returns the session cookie. It is sent back over TLS only if it was
// set over TLS (or the proxy's header says so). Forging that header only makes
// the cookie stricter.
func (q *request) cookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // G124: Secure is set whenever possible
		Name: cookieName, Value: value, Path: "/grid", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: q.r.TLS != nil || strings.EqualFold(q.r.Header.Get("X-Forwarded-Proto"), "https"),
	}
}

// done is the answer to a request that changes something.
type done struct {
	Success bool `json:"success"`
}
