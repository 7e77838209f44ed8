package dialect

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"trackway"
	"trackway/internal/format"
	"trackway/internal/format/segment"
)

// Sizes of bodies, inflated. Segment itself takes batches of 500 KB.
const (
	segmentSingle = trackway.MaxEventBytes + 16<<10
	segmentBatch  = 4 << 20
)

// segmentRoutes returns the routes of Segment's HTTP tracking API. The short
// paths are those of its SDKs for browsers, and the paths below /api/s/ those
// of Jitsu.
func segmentRoutes() []Route {
	admit := ByToken(segmentKey)
	row := func(name string, f *format.Format, size int, short ...string) Route {
		also := append(short, "/api/s/"+name, "/api/s/s2s/"+name)
		return Route{Method: http.MethodPost, Path: "/v1/" + name, Also: also, Admit: admit, Format: f, MaxBody: size}
	}
	single := func(typ, short string) Route { return row(typ, segment.Single(typ), segmentSingle, short) }
	batch, old := row("batch", segment.Batch, segmentBatch, "/v1/b"), row("import", segment.Import, segmentBatch)
	batch.Vary, old.Vary = strict(segment.Batch, segment.StrictBatch), strict(segment.Import, segment.StrictImport)
	return []Route{
		single(segment.Track, "/v1/t"), single(segment.Identify, "/v1/i"), single(segment.Page, "/v1/p"),
		single(segment.Screen, "/v1/s"), single(segment.Group, "/v1/g"), single(segment.Alias, "/v1/a"),
		batch, old,
		{
			Method: http.MethodGet, Path: "/v1/projects/{writeKey}/settings", Also: []string{"/projects/{writeKey}/settings"},
			Admit:  ByToken(func(r *http.Request, _ []byte) string { return r.PathValue("writeKey") }),
			Format: segment.Settings, Reply: segmentSettings,
		},
	}
}

// strict chooses a format by the field X-Strict-Mode.
func strict(usual, strict *format.Format) func(*http.Request) *format.Format {
	return func(r *http.Request) *format.Format {
		if r.Header.Get("X-Strict-Mode") == "1" {
			return strict
		}
		return usual
	}
}

// segmentKey finds the write key of a call. Segment's SDKs send it as the user
// of Basic credentials, or only in the body; Jitsu's send it in X-Write-Key.
//
// Jitsu's keys have a secret after a colon, without which its SDKs do not
// start. These keys are public nevertheless, and any secret is accepted. In the
// body, Jitsu's SDKs mask the secret, or the whole key if it has none.
func segmentKey(r *http.Request, body []byte) string {
	if user := basicUser(r); user != "" {
		return user
	}
	if body == nil {
		return "" // the body may have one
	}
	for _, key := range []string{segment.WriteKey(body), r.Header.Get("X-Write-Key"), bearer(r)} {
		if key, _, _ = strings.Cut(key, ":"); key != "" && key != hidden {
			return key
		}
	}
	return ""
}

const hidden = "***"

// segmentSettings answers with the settings document. It contains the name
// under which the caller has reached this server.
func segmentSettings(q *Question) (status int, answer []byte) {
	return http.StatusOK, segment.AppendSettings(nil, q.Request.PathValue("writeKey"), q.Request.Host, protocol(q.Request))
}

// protocol returns the protocol by which the caller has reached this server. A
// proxy in front may terminate TLS, and then usually says so. If nothing says
// so, it is https, unless the caller has asked for a loopback address.
func protocol(r *http.Request) string {
	switch said := r.Header.Get("X-Forwarded-Proto"); {
	case said == "http", said == "https":
		return said
	case r.TLS == nil && isLoopback(r.Host):
		return "http"
	}
	return "https"
}

func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}
