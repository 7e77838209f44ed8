// Package scale makes slow tests smaller in a quick run (`go test -short`,
// `make test-quick`). CI and `make test` run them at their full size.
package scale

import "testing"

// Of returns the size of a test: full, or short in a quick run. Call it only in
// tests, never in the initializer of a variable: flags have not been parsed
// then.
func Of(full, short int) int {
	if testing.Short() {
		return short
	}
	return full
}
