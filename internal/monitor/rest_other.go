//go:build !linux

package monitor

// Rest does nothing: other systems have no slack.
func Rest([]string) {}
