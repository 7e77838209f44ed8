package setting

import (
	"regexp"
	"slices"
	"strings"
)

// foreign matches variables with our prefix that are not meant for us:
// Kubernetes sets some for each service, perhaps one of the name trackway or
// trackway-ops, and the tests of this project have their own.
var foreign = regexp.MustCompile(`^TRACKWAY_(([A-Z0-9_]+_)?(SERVICE_(HOST|PORT)(_.*)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_.*)?)|REQUIRE|(TEST|E2E)_.*)$`)

// Unknown reports whether a variable of the environment has our prefix but is
// not known. Then meant is the known one that it resembles, or empty.
func Unknown(name, value string, known []string) (meant string, unknown bool) {
	switch {
	case !strings.HasPrefix(name, Prefix), slices.Contains(known, name), foreign.MatchString(name):
		return "", false
	case strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://"): // Kubernetes, too
		return "", false
	}
	best := len(name)/4 + 1 // more differences make another name
	for _, k := range known {
		d := distance(name, k)
		if strings.HasPrefix(name, k+"_") || strings.HasPrefix(k, name+"_") {
			d = min(d, 2)
		}
		if d < best {
			best, meant = d, k
		}
	}
	return meant, true
}

// distance returns the number of characters to insert, remove or replace to get
// from one text to another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
