//go:build unix

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// stepDowns passes on each SIGUSR2 until ctx ends. Every command catches it, since by default it
// would kill the process.
func stepDowns(ctx context.Context) <-chan struct{} { return passOn(ctx, syscall.SIGUSR2) }

// hangUps passes on each SIGHUP until ctx ends. Only a daemon catches it: a command on a terminal
// has to end when that is closed.
func hangUps(ctx context.Context) <-chan struct{} { return passOn(ctx, syscall.SIGHUP) }

func passOn(ctx context.Context, which os.Signal) <-chan struct{} {
	signals, forwarded := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, which)
	go func() {
		for {
			select {
			case <-signals:
			case <-ctx.Done():
				return
			}
			select {
			case forwarded <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return forwarded
}
