// Package sleep waits for a time, unless there is a reason to stop.
package sleep

import (
	"context"
	"time"
)

// For waits for d. If ctx ends first, it returns the cause at once.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
