//go:build unix

package main

import (
	"syscall"
	"testing"

	"github.com/zoomstream/zoomstream/message"
)

// TestStepDown has the leader step down, and then kills its successor: the first process is still
// there, and takes over again.
func TestStepDown(t *testing.T) {
	f := newFleet(t, fleetNATS(t), testSubscription)
	first := f.add()
	second := f.add()
	f.flow(1000)
	f.flows(500)
	first.signal(syscall.SIGUSR2)
	f.sockets(2)
	if f.leader() != second {
		t.Fatalf("%s leads after %s was told to step down", f.leader().name, first.name)
	}
	f.flows(500)
	f.kill(second)
	f.sockets(3)
	if f.leader() != first {
		t.Error("the one that stepped down does not lead")
	}
	f.flows(500)
	f.finish()
	f.evidence().told(message.GapCrash, 1)
}
