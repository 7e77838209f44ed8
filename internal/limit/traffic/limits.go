package traffic

import (
	"encoding/json"
	"hash/fnv"

	"trackway"
)

// LimitsName returns a number for [Settings.Limits] that differs between
// different limits.
func LimitsName(policies []trackway.Policy, overrides []trackway.Override) uint64 {
	text, err := json.Marshal([]any{policies, overrides})
	if err != nil {
		panic("bug: limits cannot be written: " + err.Error())
	}
	hash := fnv.New64a()
	_, _ = hash.Write(text) // never fails
	return hash.Sum64()
}
