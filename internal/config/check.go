package config

import (
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"trackway/internal/clientip"
	"trackway/internal/config/scalar"
)

// clientIPHeaders are the request headers in which a proxy may name its client.
var clientIPHeaders = []string{clientip.XForwardedFor, clientip.Forwarded, clientip.XRealIP, clientip.CFConnectingIP}

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// check checks the settings that are used as they are written.
func (d *doc) check() {
	f := &d.file
	d.checkListen(&f.Listen)
	d.checkListen(&f.OpsListen)
	d.checkListenApart()
	if f.DataDir == "" {
		d.report(&f.DataDir, "must name a directory")
	}
	d.checkTLS()
	d.checkServer(&f.Server)
	d.checkServers()
	d.checkRedirectHosts()
	d.checkContact(&f.Contact)
	d.warnOfProxies()
	d.checkClientIPHeader(&f.ClientIPHeader)
	d.checkBounds()
	d.checkCluster()
	f.Audit.Check(d.Doc)
	oneOf(d, &f.Log.Level, slices.SortedFunc(maps.Keys(logLevels), byLevel)...)
	oneOf(d, &f.Log.Format, "text", "json")
}

func byLevel(a, b string) int { return int(logLevels[a] - logLevels[b]) }

func (d *doc) checkListen(listen *string) {
	_, port, err := net.SplitHostPort(*listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		d.report(listen, "must be host:port, such as 127.0.0.1:8080")
	}
}

// checkListenApart refuses the same address for both listeners: the start would
// fail. Port 0 stands for another port each time.
func (d *doc) checkListenApart() {
	f := &d.file
	if f.Listen != f.OpsListen || strings.HasSuffix(f.Listen, ":0") || !d.good(&f.Listen, &f.OpsListen) {
		return
	}
	at := &f.OpsListen
	if !d.given(at) {
		at = &f.Listen
	}
	d.report(at, "must not be the address of both listen and ops_listen")
}

// warnOfProxies warns if every caller may choose the address that counts as its
// own.
func (d *doc) warnOfProxies() {
	for i := range d.file.TrustedProxies {
		if at := &d.file.TrustedProxies[i]; at.IsValid() && at.Bits() == 0 {
			d.warn(at, "lets every caller choose the address that its calls count for")
		}
	}
}

// checkClientIPHeader accepts the name in any letter case and replaces it by
// the usual spelling.
func (d *doc) checkClientIPHeader(header *string) {
	for _, known := range clientIPHeaders {
		if strings.EqualFold(*header, known) {
			*header = known
			return
		}
	}
	d.report(header, "must be one of %s", strings.Join(clientIPHeaders, ", "))
}

// checkName checks a required name. It appears in addresses, headers, logs and
// metrics.
func (d *doc) checkName(name *string, thing any, what string) {
	switch {
	case !d.given(name) && *name == "":
		d.missing(thing, "needs a name")
	case !isName(*name):
		d.report(name, "must name the %s in 1 to %d letters, digits, '-', '_' and '.'", what, maxName)
	}
}

const maxName = 64

func isName(s string) bool {
	return s != "" && len(s) <= maxName && strings.IndexFunc(s, func(c rune) bool { return !scalar.IsNameRune(c) }) < 0
}

// isToken reports whether s fits into an HTTP field as one word.
func isToken(s string) bool {
	const most = 256
	return s != "" && len(s) <= most && strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}

// oneOf checks that a value is one of the given words.
func oneOf[T ~string](d *doc, at *T, words ...T) {
	if slices.Contains(words, *at) {
		return
	}
	d.report(at, "must be %s", listed(words))
}

// listed returns words as an enumeration in a sentence: a, b or c.
func listed[T ~string](words []T) string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}
