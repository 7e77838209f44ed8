package posthog

import (
	"net/http"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
)

// results returns the answer to a body of messages. It succeeds whatever
// becomes of a single message: SDKs would otherwise drop the good ones as well,
// or send them again and again. They do not read what follows status.
//
//	{"status":1,"rejected":[{"uuid":"…","error":"Field 'event' is required."}]}
func results(b *format.Batch, _ trackway.Micros) (int, []byte, *trackway.Error) {
	dst := append(make([]byte, 0, len(`{"status":1}`)), `{"status":1`...)
	reported := 0
	for i := range b.Results {
		err := b.Results[i].Err
		switch {
		case err == nil:
			continue
		case reported == maxReported:
			return http.StatusOK, append(dst, "]}"...), nil
		case reported == 0:
			dst = append(dst, `,"rejected":[{`...)
		default:
			dst = append(dst, ",{"...)
		}
		reported++
		if id := b.Labels[i].ID; id != nil {
			dst = append(append(append(dst, `"uuid":`...), id...), ',')
		}
		dst = append(canonjson.AppendString(append(dst, `"error":`...), Text(err)), '}')
	}
	if reported > 0 {
		dst = append(dst, ']')
	}
	return http.StatusOK, append(dst, '}'), nil
}

// refusal returns the answer to a refused call, in the shape that SDKs read:
// the one for Python shows the detail.
//
//	{"type":"authentication_error","code":"unidentified","detail":"Access key not found","attr":null}
func refusal(status int, err *trackway.Error) (int, []byte) {
	kind := "validation_error"
	switch err.Code {
	case trackway.Unidentified, trackway.Forbidden:
		kind = "authentication_error"
	case trackway.Overloaded, trackway.Internal:
		kind = "server_error"
	}
	if status == http.StatusUnsupportedMediaType {
		status = http.StatusBadRequest // no SDK distinguishes it
	}
	dst := canonjson.AppendString([]byte(`{"type":`), kind)
	dst = canonjson.AppendString(append(dst, `,"code":`...), string(err.Code))
	dst = canonjson.AppendString(append(dst, `,"detail":`...), Text(err))
	return status, append(dst, `,"attr":null}`...)
}

// Flags answers which feature flags are enabled for somebody: none, whatever
// version of the question it is.
func Flags() []byte { return flags }

var flags = []byte(`{"flags":{},"featureFlags":{},"featureFlagPayloads":{},"errorsWhileComputingFlags":false,` + nothing + `}`)

// nothing is the part that all descriptions of the enabled features share. It
// says that no feature that a server has to provide is enabled. Autocapture is
// left to the page.
const nothing = `"supportedCompression":["gzip","gzip-js"],"autocapture_opt_out":false,"capturePerformance":false,"autocaptureExceptions":false,` +
	`"sessionRecording":false,"surveys":false,"productTours":false,"heatmaps":false,"captureDeadClicks":false,"siteApps":[],"toolbarParams":{}`

// Config answers which features are enabled for a page.
func Config() []byte { return config }

var config = []byte(`{"hasFeatureFlags":false,` + nothing + `}`)

// ConfigScript returns the same answer as [Config], as a script for a page with
// this key. For a text that is not a key, the script is empty.
func ConfigScript(token string) []byte {
	if !isToken(token) {
		return []byte("/* This is no key. */\n")
	}
	const all = "_POSTHOG_REMOTE_CONFIG"
	dst := append([]byte("(function(){window."+all+"=window."+all+"||{};window."+all+"["), canonjson.AppendString(nil, token)...)
	dst = append(dst, "]={config:"...)
	dst = append(dst, config...)
	return append(dst, ",siteApps:[]}})();\n"...)
}

// isToken reports whether a text may be a key. Other texts must not become a
// part of a script.
func isToken(token string) bool {
	if token == "" || len(token) > maxTokenBytes {
		return false
	}
	for _, c := range []byte(token) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

const maxTokenBytes = 256
