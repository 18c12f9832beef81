//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// stepDown asks the replica to hand over.
func (r *replica) stepDown() error { return r.process.Load().Signal(syscall.SIGUSR2) }

// ignoreBackground lets a demo in the background of a terminal run on without keys; otherwise the
// first read would stop it.
func ignoreBackground() { signal.Ignore(syscall.SIGTTIN) }
