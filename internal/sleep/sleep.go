// Package sleep waits under a context.
package sleep

import (
	"context"
	"time"
)

// For waits for d. If the context ends earlier, it returns its cause.
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
