// Package sleep waits under a context.
package sleep

import (
	"context"
	"time"
)

// For waits that long. If the context ends before, it returns the cause.
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
