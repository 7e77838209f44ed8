// Package administered lists the routes of the admin API, and passes on which
// key a call of them came with.
package administered

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// Path begins the paths of all routes.
const Path = "/api/admin/"

// Route is a route.
type Route struct {
	Method, Path string
	Body         bool // it takes one
}

// Routes returns the routes.
func Routes() []Route {
	const project = "projects/{name}/keys"
	list := []string{
		"GET keys", "GET " + project, "POST " + project, "GET " + project + "/{key}", "DELETE " + project + "/{key}", "POST " + project + "/{key}/rotate",
		"GET users/{name}/sessions", "DELETE users/{name}/sessions",
	}
	for _, kind := range []string{"projects", "limits", "overrides", "destinations", "users"} {
		list = append(list, "GET "+kind, "GET "+kind+"/{name}", "PUT "+kind+"/{name}", "DELETE "+kind+"/{name}")
	}
	routes := make([]Route, len(list))
	for i, text := range list {
		method, path, _ := strings.Cut(text, " ")
		routes[i] = Route{method, Path + path, slices.Contains([]string{http.MethodPost, http.MethodPut}, method)}
	}
	return routes
}

type callerKey struct{}

// By returns a request that came with the key of a name.
func By(r *http.Request, key string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, key))
}

// Caller returns the name of the key that a request came with.
func Caller(r *http.Request) string {
	name, _ := r.Context().Value(callerKey{}).(string)
	return name
}
