//go:build race || overwrite

package body

// overwrites makes tests overwrite each buffer before another body uses it. So
// a text that still refers to it is wrong at once. The tests run with the race
// detector, which also sees that somebody reads what is overwritten. Without
// it, there is the build tag overwrite.
const overwrites = true
