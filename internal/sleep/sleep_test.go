package sleep

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, stop := time.Now(), errors.New("stop")
		if err := For(t.Context(), time.Hour); err != nil || time.Since(began) != time.Hour {
			t.Errorf("got %v after %v, want an hour", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, stop)
		defer cancel()
		if err := For(ctx, time.Hour); err != stop || time.Since(began) != time.Hour+time.Minute { //nolint:errorlint // the cause itself
			t.Errorf("got %v after %v, want the cause after a minute", err, time.Since(began))
		}
	})
}
