package main

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestNATSRestart restarts the only nats-server. The replicas do not connect to Zoom anew.
func TestNATSRestart(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), natstest.Port(t)
	nats := natsAt(t, dir, port)
	f := newFleet(t, nats.ClientURL(), testSubscription)
	f.add()
	f.add()
	f.flow(400)
	for range repeats(3) {
		f.flows(200)
		natstest.Stop(nats)
		f.flows(600) // by now the replicas retry once a second, and come back one by one
		nats = natsAt(t, dir, port)
		f.stores()
	}
	f.finish()
	f.unmoved()
}

// fleetNATS starts a nats-server for a fleet.
func fleetNATS(t *testing.T) (url string) {
	t.Helper()
	return natsAt(t, t.TempDir(), -1).ClientURL()
}

// natsAt starts a nats-server from nats.conf. With the same folder and port it can be started
// again.
func natsAt(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	options, err := server.ProcessConfigFile("../../nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	options.Port, options.HTTPPort, options.StoreDir = port, 0, dir
	options.SyncAlways = false // otherwise a busy disk limits the rate of the events
	return natstest.Start(t, options)
}

// unmoved checks that everything went through one socket in one epoch, and that nothing is lost.
func (f *fleet) unmoved() *evidence {
	f.t.Helper()
	e := f.evidence()
	e.whole()
	if n := f.sim.Summary("").Sockets; n != 1 {
		f.t.Errorf("%d sockets, want 1", n)
	}
	epochs := make(map[uint64]int)
	for _, s := range e.stored {
		epochs[s.epoch]++
	}
	if len(epochs) != 1 {
		f.t.Errorf("events by epoch: %v", epochs)
	}
	return e
}
