package dialect

import (
	"mime"
	"net/http"
	"time"

	"trackway"
	"trackway/internal/auth"
	"trackway/internal/format"
	"trackway/internal/format/otlp"
)

// otlpBody is the size of bodies, inflated: that of a Collector's receiver.
const otlpBody = 20 << 20

// otlpRoutes returns the route that takes log records of OpenTelemetry.
func otlpRoutes() []Route {
	return []Route{{
		Method: http.MethodPost, Path: "/v1/logs", Admit: otlpKey,
		Format: otlp.Proto, Vary: otlpEncoding, MaxBody: otlpBody,
	}}
}

// otlpEncoding chooses the encoding by the media type. A call in another type
// gets an answer in JSON, which people can read.
func otlpEncoding(r *http.Request) *format.Format {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && media == "application/x-protobuf" {
		return otlp.Proto
	}
	return otlp.JSON
}

// otlpKey finds the key of a call, which is in its header: the token of a
// public key, or the id and the secret of a private one.
func otlpKey(keys *auth.Keys, now time.Time, r *http.Request, _ []byte) (auth.Grant, *trackway.Error) {
	for _, scheme := range []string{"Token", "Bearer"} {
		if token := credentials(r, scheme); token != "" {
			return keys.ByToken(now, token)
		}
	}
	return keys.Operator(now, r.Header.Get("Authorization"))
}
