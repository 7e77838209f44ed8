package entry

// ErrCorrupt is the error of [Decode], for tests.
var ErrCorrupt = errCorrupt
