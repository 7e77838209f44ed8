package api

import (
	"slices"
	"strings"
	"time"

	"trackway/internal/limit"
)

// Floors returns the published promise to callers of the tracking API: 6000
// calls in any minute. It holds whatever the operator configures, unless the
// configuration explicitly permits less.
func Floors() []limit.Floor {
	return []limit.Floor{{Path: root(trackPath), Calls: 6000, Window: time.Minute}}
}

// Roots returns the first parts of the paths that are served: "/track/" and
// others.
func Roots() (roots []string) {
	for _, rt := range new(Server).routes() {
		for _, path := range rt.paths() {
			if r := root(path); strings.HasSuffix(r, "/") && !slices.Contains(roots, r) {
				roots = append(roots, r)
			}
		}
	}
	return roots
}

// Free returns the paths that no limit counts, as the contract writes them.
func Free() (paths []string) {
	for _, rt := range new(Server).routes() {
		if rt.free {
			paths = append(paths, strings.TrimSuffix(rt.path, "{$}"))
		}
	}
	return paths
}

// Routes returns what is served, such as "GET /api/limits", as the contract
// writes it.
func Routes() (list []string) {
	for _, rt := range new(Server).routes() {
		list = append(list, rt.method+" "+strings.TrimSuffix(rt.path, "{$}"))
	}
	return list
}

// root returns the first part of a path with its slashes, or the whole path if
// it has only one part.
func root(path string) string {
	if i := strings.Index(path[1:], "/"); i >= 0 {
		return path[:i+2]
	}
	return path
}
