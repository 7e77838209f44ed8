//go:build !race && !overwrite

package body

const overwrites = false
