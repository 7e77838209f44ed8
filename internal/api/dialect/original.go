package dialect

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/api/consent"
	"trackway/internal/api/request"
	"trackway/internal/auth"
	"trackway/internal/format"
	"trackway/internal/format/tracking"
)

// Sizes of bodies, inflated.
const (
	originalSingle = trackway.MaxEventBytes + 16<<10
	originalBatch  = trackway.MaxCommands*trackway.MaxEventBytes + 64<<10
	originalAsked  = 64 << 10
)

// originalRoutes returns further paths of the commercial service whose tracking
// API this server speaks.
func originalRoutes() []Route { return slices.Concat(streamRoutes(), oldRoutes(), askedRoutes()) }

// streamRoutes returns the routes of the stream mode, in which SDKs name a
// stream and not a project. Bodies and answers are those of the tracking API.
// (github.com/exponea/exponea-ios-sdk 4.0.1, RequestFactory.swift.)
func streamRoutes() []Route {
	row := func(name string, needs trackway.Permission, f *format.Format, size int) Route {
		return Route{Method: http.MethodPost, Path: "/track/u/v1/" + name, Admit: byStream, Needs: needs, Format: f, MaxBody: size}
	}
	return []Route{
		row(tracking.Customers, trackway.SetCustomers, tracking.Single(tracking.Customers), originalSingle),
		row(tracking.Events, trackway.SetEvents, tracking.Single(tracking.Events), originalSingle),
		row(tracking.Clicks, trackway.SetEvents, tracking.Single(tracking.Clicks), originalSingle),
		row("batch", "", tracking.Batch, originalBatch),
		{
			Method: http.MethodGet, Path: "/data/v2/streams/{stream}/consent/categories", Admit: byStream,
			Format: tracking.OpenData, Reply: consentCategories,
		},
	}
}

// byStream is the [Admit] of calls that name a stream: in the path or in the
// query.
func byStream(keys *auth.Keys, now time.Time, r *http.Request, _ []byte) (auth.Grant, *trackway.Error) {
	stream := r.PathValue("stream")
	if stream == "" {
		stream = request.Parameter(r.URL.RawQuery, "stream_id")
	}
	return keys.ByStream(now, stream, r.Header.Get("Authorization"), request.AccessToken(r.URL.RawQuery))
}

// consentCategories answers what customers of the stream's project may consent
// to.
func consentCategories(q *Question) (status int, answer []byte) {
	answer, err := json.Marshal(consent.ListOf(q.Grant.Project))
	if err != nil {
		panic("bug: consent categories cannot be written as JSON: " + err.Error())
	}
	return http.StatusOK, answer
}

// oldRoutes returns the routes of the clients of 2013 to 2018, which send the
// project's token in the body and no key. Only projects with legacy: true take
// them. (github.com/Infinario/python-sdk, infinario.py; ios-sdk,
// CommandManager.m.)
func oldRoutes() []Route {
	row := func(path string, f *format.Format, size int) Route {
		return Route{Method: http.MethodPost, Path: path, Admit: byOldBody, Format: f, MaxBody: size}
	}
	return []Route{
		row("/bulk", tracking.OldBatch, originalBatch),
		row("/crm/customers", tracking.OldSingle(tracking.Customers), originalSingle),
		row("/crm/events", tracking.OldSingle(tracking.Events), originalSingle),
	}
}

// byOldBody is the [Admit] of calls whose body names the project.
func byOldBody(keys *auth.Keys, _ time.Time, _ *http.Request, body []byte) (auth.Grant, *trackway.Error) {
	if body == nil {
		return auth.Grant{}, keys.LegacyOff()
	}
	return keys.Legacy(strings.ToLower(tracking.OldProject(body)))
}

// askedRoutes returns the routes of features that apps ask for and this server
// does not have: messages, content blocks, an inbox, segments. Each answer is
// the shortest that the SDKs for Android and iOS treat as a success, so that no
// app logs an error each minute. The answers contain no data, so they need no
// key. (exponea-android-sdk 4.10.0, ApiEndPoint.kt and Result.kt;
// exponea-ios-sdk 4.0.1, RequestFactory.swift and the types of its responses.)
func askedRoutes() []Route {
	ask := func(method, answer, path string, also ...string) Route {
		size := originalAsked
		if method == http.MethodGet {
			size = 0
		}
		return Route{
			Method: method, Path: path, Also: also, Format: tracking.Own, MaxBody: size,
			Reply: func(*Question) (int, []byte) { return http.StatusOK, []byte(answer) },
		}
	}
	post := func(answer, path string, also ...string) Route { return ask(http.MethodPost, answer, path, also...) }
	get := func(answer, path string, also ...string) Route { return ask(http.MethodGet, answer, path, also...) }
	const (
		project = "/webxp/projects/{token}/"
		stream  = "/webxp/streams/{token}/"

		nothing  = `{"success":true,"data":[]}`
		noInbox  = `{"success":true,"messages":[]}`
		noBlocks = `{"success":true,"in_app_content_blocks":[]}`
		done     = `{"success":true}`
		none     = `{}` // both SDKs read an object of lists
	)
	return []Route{
		post(nothing, "/webxp/s/{token}/inappmessages", stream+"inappmessages"),
		post(nothing, "/webxp/s/{token}/inappcontentblocks", stream+"inappcontentblocks"),
		post(noInbox, project+"appinbox/fetch", stream+"appinbox/fetch"),
		post(done, project+"appinbox/markasread", stream+"appinbox/markasread"),
		get(none, project+"segments", stream+"segments"),
		post(none, project+"cookies/{cookie}/link-ids", stream+"cookies/{cookie}/link-ids"),
		get(noBlocks, "/wxstatic/projects/{token}/bundle-android.json", "/wxstatic/streams/{token}/bundle-android.json"),
		get(noBlocks, "/wxstatic/projects/{token}/bundle-ios.json", "/wxstatic/streams/{token}/bundle-ios.json"),
		post(done, "/campaigns/send-self-check-notification"),
		post(done, "/campaigns/streams/{token}/send-self-check-notification"),
	}
}
