package ops

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guarded protects h against requests that a page of another site makes the
// operator's browser send. There are no keys here: anyone who can reach the
// listener may use it, and so can a browser on the operator's machine.
//
// Three signs reveal such a request. Sec-Fetch-Site, which browsers send to
// addresses of this machine, says that it comes from elsewhere. (Following a
// link is allowed, but not to a profile, which takes processor time.) Origin is
// another host's ([http.CrossOriginProtection]). Or Host is a name that is not
// ours: an attacker may point the name of another site to this address (DNS
// rebinding), and then its pages have the same origin. Browsers send Origin
// with all requests that change something. So the check of Host does not apply
// to other clients, which may call this host by any name.
func guarded(h http.Handler, listen string) http.Handler {
	own, _, _ := net.SplitHostPort(listen) // the listener uses it, so it can be split
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

// isOwn reports whether a host, with or without a port, can be the name of this
// listener: an address, which needs no name server, localhost, or the
// configured name.
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
