// Package scale makes slow tests smaller in a quick run (`go test -short`,
// `make test-quick`). CI and `make test` run them at their full size.
package scale

import "testing"

// Of returns how much a test does: full, or short in a quick run. Call it in
// tests only, never in the initializer of a variable: flags are not read yet.
func Of(full, short int) int {
	if testing.Short() {
		return short
	}
	return full
}
