package document

import (
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"trackway/internal/config/scalar"
)

// CheckName checks a required name. It appears in addresses, headers, logs and
// metrics.
func (d *Doc) CheckName(name *string, thing any, what string) {
	switch {
	case !d.Given(name) && *name == "":
		d.Missing(thing, "needs a name")
	case !scalar.IsName(*name):
		d.Report(name, "must name the %s in 1 to %d letters, digits, '-', '_' and '.'", what, scalar.MaxName)
	}
}

// CheckListen checks the address of a listener.
func (d *Doc) CheckListen(listen *string) {
	_, port, err := net.SplitHostPort(*listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		d.Report(listen, "must be host:port, such as 127.0.0.1:8080")
	}
}

// CheckServerURL checks the URL of a server, which may be empty.
func (d *Doc) CheckServerURL(at *string) {
	if *at == "" {
		return
	}
	u, err := url.Parse(*at)
	if err == nil && isWeb(u) && u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		return
	}
	d.ReportURL(at, "must be an address such as https://ts1.example.com")
}

// CheckPage checks the address of a page, which may be empty.
func (d *Doc) CheckPage(at *string) {
	if *at == "" {
		return
	}
	u, err := url.Parse(*at)
	if err == nil && u.User == nil && isWeb(u) {
		return
	}
	d.ReportURL(at, "must be the address of a page, such as https://example.com/support")
}

func isWeb(u *url.URL) bool { return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" }

// CheckEmail checks an address that may be empty.
func (d *Doc) CheckEmail(at *string) {
	if *at == "" {
		return
	}
	if a, err := mail.ParseAddress(*at); err != nil || a.Address != *at {
		d.Report(at, "must be an address such as tracking@example.com")
	}
}

// ReportURL reports a problem with a URL. It hides one that may contain a
// password (user:password@host).
func (d *Doc) ReportURL(at *string, msg string) {
	if strings.Contains(*at, "@") {
		d.Conceal(at)
	}
	d.Report(at, "%s", msg)
}

// OneOf checks that a value is one of the given words.
func OneOf[T ~string](d *Doc, at *T, words ...T) {
	if slices.Contains(words, *at) {
		return
	}
	d.Report(at, "must be %s", Listed(words))
}

// Listed returns words as an enumeration in a sentence: a, b or c.
func Listed[T ~string](words []T) string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}
