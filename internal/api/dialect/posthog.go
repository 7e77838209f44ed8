package dialect

import (
	"net/http"

	"trackway/internal/format/posthog"
)

// The maximum sizes of bodies, inflated. For bodies with messages, PostHog has
// the same size. The body of a question is read although the answer does not
// depend on it, so that the connection can be used again.
const (
	postHogBody     = 20 << 20
	postHogQuestion = 256 << 10
)

// postHogRoutes returns the routes that PostHog's SDKs call: those that take
// messages, and those that say which features are enabled.
func postHogRoutes() []Route {
	static := func(answer []byte) func(*Question) (int, []byte) {
		return func(*Question) (int, []byte) { return http.StatusOK, answer }
	}
	return []Route{
		{
			Method: http.MethodPost, Path: "/batch", Also: []string{"/capture", "/e", "/i/v0/e"},
			Admit: ByToken(postHogKey), Format: posthog.Capture, MaxBody: postHogBody,
		},
		{Method: http.MethodPost, Path: "/flags", Also: []string{"/decide"}, Format: posthog.Disabled, MaxBody: postHogQuestion, Reply: static(posthog.Flags())},
		{Method: http.MethodGet, Path: "/array/{key}/config", Format: posthog.Disabled, Reply: static(posthog.Config())},
		{Method: http.MethodGet, Path: "/array/{key}/config.js", Format: posthog.Script, Reply: postHogScript},
	}
}

// postHogKey finds the key of a call, which is in the body.
func postHogKey(r *http.Request, body []byte) string {
	if key := bearer(r); key != "" || body == nil {
		return key
	}
	return posthog.Token(body)
}

// postHogScript answers which features are enabled, as a script.
func postHogScript(q *Question) (status int, answer []byte) {
	return http.StatusOK, posthog.ConfigScript(q.Request.PathValue("key"))
}
