package config

import (
	"log/slog"
	"maps"
	"slices"
	"strings"

	"trackway/internal/clientip"
	"trackway/internal/config/document"
)

// clientIPHeaders are the request headers in which a proxy may name its client.
var clientIPHeaders = []string{clientip.XForwardedFor, clientip.Forwarded, clientip.XRealIP, clientip.CFConnectingIP}

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// check checks the settings that are used as they are written.
func (d *doc) check() {
	f := &d.file
	d.CheckListen(&f.Listen)
	d.CheckListen(&f.OpsListen)
	d.checkListenApart()
	if f.DataDir == "" {
		d.report(&f.DataDir, "must name a directory")
	}
	d.checkTLS()
	d.checkServer(&f.Server)
	d.checkServers()
	d.checkRedirectHosts()
	d.CheckEmail(&f.Contact.Email)
	d.CheckPage(&f.Contact.URL)
	d.warnOfProxies()
	d.checkClientIPHeader(&f.ClientIPHeader)
	d.checkBounds()
	d.checkCluster()
	f.Audit.Check(d.Doc)
	document.OneOf(d.Doc, &f.Log.Level, slices.SortedFunc(maps.Keys(logLevels), byLevel)...)
	document.OneOf(d.Doc, &f.Log.Format, "text", "json")
}

func byLevel(a, b string) int { return int(logLevels[a] - logLevels[b]) }

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

// isToken reports whether s fits into an HTTP field as one word.
func isToken(s string) bool {
	const most = 256
	return s != "" && len(s) <= most && strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}
