//go:build unix

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// stepDownSignals passes each SIGUSR2 on until the context ends. Whatever the
// command, it is caught: its default would kill the process.
func stepDownSignals(ctx context.Context) <-chan struct{} {
	signals, stepDown := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGUSR2)
	go func() {
		for {
			select {
			case <-signals:
			case <-ctx.Done():
				return
			}
			select {
			case stepDown <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return stepDown
}
