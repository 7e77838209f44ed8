package dashboard

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"trackway"
	"trackway/internal/ask"
)

// A session is a cookie that holds the time when the session ends, signed with
// a key that is derived from the password. So no server has to store it, all
// servers with the same password accept it, and a new password ends it. Signing
// out on one device does not end sessions on others: they last for half a day.

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

// session returns when the session of a request ends. It returns the zero time
// if the request has no valid session.
func (f *facts) session(r *http.Request, now time.Time) time.Time {
	cookie, err := r.Cookie(cookieName)
	if err != nil || f.Password == ([sha256.Size]byte{}) {
		return time.Time{}
	}
	b, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || len(b) != expiryLength+sha256.Size || !hmac.Equal(b[expiryLength:], f.mac(b[:expiryLength]).Sum(nil)) {
		return time.Time{}
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	if !now.Before(expires) {
		return time.Time{}
	}
	return expires
}

var errPassword = &trackway.Error{Code: trackway.Forbidden, Field: "password", Msg: "Wrong password."}

// signIn begins a session. The rate limits bound how often a client can try.
func (q *request) signIn() error {
	var sent struct {
		Password *string `json:"password"`
	}
	if err := json.NewDecoder(q.r.Body).Decode(&sent); err != nil || sent.Password == nil {
		return ask.Invalid("password", "a string in a JSON object")
	}
	if q.facts.Password == ([sha256.Size]byte{}) {
		return &trackway.Error{Code: trackway.Forbidden, Field: "password", Msg: errNoSignIn.Msg}
	}
	sum := sha256.Sum256([]byte(*sent.Password))
	if subtle.ConstantTimeCompare(sum[:], q.facts.Password[:]) != 1 {
		return errPassword
	}
	expires := q.now.Add(sessionTime).Truncate(time.Second)
	http.SetCookie(q.w, q.cookie(q.facts.sign(expires), int(sessionTime/time.Second)))
	return q.answer(struct {
		Expires seconds `json:"expires"`
	}{secondsOf(expires)})
}

func (q *request) signOut() error {
	http.SetCookie(q.w, q.cookie("", -1))
	return q.answer(done{true})
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
