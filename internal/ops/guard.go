package ops

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guarded returns h without what a page of another site can make the
// operator's browser send. There are no keys here: whoever reaches the
// listener may use it, and a browser on the operator's machine reaches it.
//
// Three things tell such a request. Sec-Fetch-Site, which browsers send to
// addresses of this machine, says that it comes from elsewhere; a link may be
// followed, but not to a profile, which takes processor time. Origin is another
// host's ([http.CrossOriginProtection]). Or Host is a name that is not ours:
// another site's name may have been made to lead to this address (DNS
// rebinding), and then its pages have the same origin. Browsers send Origin
// with all that changes something, so that other clients, which may call this
// host by any name, are not asked for theirs.
func guarded(h http.Handler, listen string) http.Handler {
	own, _, _ := net.SplitHostPort(listen) // it is listened on, so it can be split
	foreign := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if foreign.Check(r) != nil || fromElsewhere(r) || r.Header.Get("Origin") != "" && !isOwn(r.Host, own) {
			http.Error(w, "pages of other sites may not do this", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func fromElsewhere(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site": // another port of this host is the same site
		followed := r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate"
		return !followed || strings.HasPrefix(r.URL.Path, "/debug/")
	}
	return false
}

// isOwn tells whether a host, with or without a port, can be the name of this
// listener: an address, which needs no name server, localhost, or the name that
// is configured.
func isOwn(host, own string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || own != "" && strings.EqualFold(host, own)
}
