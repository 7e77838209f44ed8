package dashboard

import (
	"errors"
	"net/http"
	"time"

	"trackway"
	"trackway/internal/audit"
	"trackway/internal/people/openid"
)

// A browser that signs in by the provider comes here twice. The first time it
// gets a sealed cookie and goes to the provider; the second time it comes back
// with a code. Both end in a redirect, and neither URL contains anything that a
// request has named. If it does not work, another sealed cookie says why, and
// the page shows that once. So no text of a stranger is ever shown.

const (
	stateCookie   = "trackway_oidc"    // comes back from another site, so it cannot be strict
	refusedCookie = "trackway_refused" // read by ways, once
	refusedTime   = time.Minute
)

var errNoProvider = &trackway.Error{Code: trackway.NotFound, Field: "provider", Msg: "The configuration names no provider to sign in at."}

// toProvider sends a browser to the provider.
func (q *request) toProvider() error {
	p := q.facts.Provider
	if p == nil {
		return errNoProvider
	}
	to, cookie, err := p.Begin(q.r.Context(), q.now)
	if err != nil {
		return q.refuse(err)
	}
	http.SetCookie(q.w, q.passing(stateCookie, "/grid/oidc", cookie, openid.StateTime, http.SameSiteLaxMode))
	return q.seeOther(to)
}

// fromProvider begins the session of somebody for whom the provider vouches.
func (q *request) fromProvider() error {
	p := q.facts.Provider
	if p == nil {
		return errNoProvider
	}
	state := ""
	if cookie, err := q.r.Cookie(stateCookie); err == nil {
		state = cookie.Value
	}
	http.SetCookie(q.w, q.passing(stateCookie, "/grid/oidc", "", -time.Second, http.SameSiteLaxMode))
	user, err := p.Finish(q.r.Context(), state, q.r.URL.Query(), q.now)
	if err != nil {
		return q.refuse(err)
	}
	e := q.entryOf(user.Name, audit.SignIn, "")
	e.Detail = "by " + p.Name() + ", subject " + user.Account.Subject // names may change hands
	if err := q.Audit.Add(e); err != nil {
		return err
	}
	token, _ := q.begin(user)
	http.SetCookie(q.w, q.cookie(token, int(sessionTime/time.Second)))
	return q.seeOther("/")
}

// refuse sends a browser to the form for signing in, which says why.
func (q *request) refuse(err error) error {
	why, ok := errors.AsType[*openid.Refusal](err)
	if !ok {
		return err
	}
	if why.Cause != nil {
		q.Logger.Warn("somebody could not sign in by the provider", "reason", why.Reason, "err", why.Cause)
	}
	if why.Reason != openid.Unreachable && why.Reason != openid.Busy {
		q.Audit.SignInFailed(audit.Failure{Address: q.from})
	}
	http.SetCookie(q.w, q.passing(refusedCookie, "/grid/session", q.facts.Provider.Seal(why), refusedTime, http.SameSiteStrictMode))
	return q.seeOther("/")
}

// whyRefused returns why the provider did not get this browser in, once.
func (q *request) whyRefused() string {
	cookie, err := q.r.Cookie(refusedCookie)
	if err != nil {
		return ""
	}
	http.SetCookie(q.w, q.passing(refusedCookie, "/grid/session", "", -time.Second, http.SameSiteStrictMode))
	why := q.facts.Provider.Open(cookie.Value)
	if why == nil {
		return ""
	}
	return q.facts.Provider.Text(why)
}

// passing returns a cookie that lasts for a short time.
func (q *request) passing(name, path, value string, lasts time.Duration, site http.SameSite) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // G124: Secure is set whenever possible
		Name: name, Value: value, Path: path, MaxAge: int(lasts / time.Second), HttpOnly: true, SameSite: site,
		Secure: q.secure() || q.facts.Provider.Secure(),
	}
}

// seeOther redirects a browser. No page learns the URL from which it comes: the
// code is in it.
func (q *request) seeOther(to string) error {
	h := q.w.Header()
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Location", to)
	q.w.WriteHeader(http.StatusSeeOther)
	return nil
}
