package doctor

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// TestAlarms: alarms that running replicas have raised, and a stream that is gone although they
// run.
func TestAlarms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	w.run().has(Alarms, Skip, "no replica answers")
	one := w.serve("zoomstream", status.Replica{Replica: "r1", Nonce: "n1", Others: []status.Other{{Replica: "r2", Nonce: "n2", Heard: time.Now()}}})
	r := w.run()
	r.has(Alarms, Pass, "no alarm is raised (1 replica answers)")
	r.has(Stream, Fail, "stream ZOOM is gone, and there is 1 running replica", "docs/runbook.md#stream")
	r.failed(false)
	w.stream()
	others := []status.Other{{Replica: "r1", Nonce: "n1", Heard: time.Now()}} // as replicas know one another
	w.serve("zoomstream", status.Replica{Replica: "r2", Nonce: "n2", Others: others})
	w.run().has(Alarms, Pass, "(2 replicas answer)")

	one()
	since := time.Now().Add(-time.Hour)
	w.serve("zoomstream", status.Replica{Replica: "r1", Nonce: "n1", Alarms: []status.Alarm{
		{Alarm: "contested", Subscription: "sub-1", Replica: "r1", Since: since, Detail: "somebody else \x1b connects"},
		{Alarm: "spool-full", Replica: "r1", Since: since, Detail: "the spool is full"},
	}})
	r = w.run()
	r.has(Alarms, Warn, "alarm contested is raised (since "+clock(since)+", by replica r1): somebody else", "docs/runbook.md#contested")
	r.has(Alarms, Warn, "alarm spool-full is raised", "the spool is full", "docs/runbook.md#spool-full")
	if r.Result != Warn {
		t.Errorf("result %s", r.Result)
	}
}

// TestAlarmsWithoutJetStream: doctor asks the replicas for alarms even without JetStream.
func TestAlarmsWithoutJetStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withoutJetStream)
	w.serve("zoomstream", status.Replica{Replica: "r1", Nonce: "n1", Alarms: []status.Alarm{{Alarm: "stream", Replica: "r1", Detail: "nobody answers"}}})
	w.run().has(Alarms, Warn, "alarm stream is raised")
}

// TestLeaderInTrouble: the leader's own answer says why it is not connected.
func TestLeaderInTrouble(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leases, states := w.buckets()
	since := time.Now().Add(-time.Hour).UTC()
	w.put(leases, "lease.sub-1", record.Lease{Replica: "r1", Nonce: "n1", Since: since}, time.Hour)
	stop := func() {}
	says := func(s status.Subscription) report {
		stop()
		s.Subscription, s.Role, s.Leader, s.LeaderNonce = "sub-1", status.Leader, "r1", "n1"
		stop = w.serve("zoomstream", status.Replica{Replica: "r1", Nonce: "n1", Subscriptions: []status.Subscription{s}})
		return w.connect(true)
	}
	const trying, would = "not connecting: replica r1 leads and is trying to", "that would close the connection of replica r1"

	r := says(status.Subscription{StateSince: since, Trouble: "zoom: dial: HTTP 503"})
	r.has(Lease, Warn, "holds the lease (since "+clock(since)+") and has not been connected yet: zoom: dial: HTTP 503", "docs/runbook.md#not-connected")
	r.has(Connection, Skip, trying)

	says(status.Subscription{State: "disconnected", StateSince: since, Trouble: "zoom: refused"}).has(Lease, Warn, "has not been connected yet: zoom: refused")

	ended := since.Add(time.Minute)
	w.put(states, "state.sub-1", record.State{State: record.Disconnected, Replica: "r1", Nonce: "n1", Since: ended, End: "zoom: closed"}, 0)
	r = says(status.Subscription{State: "disconnected", StateSince: ended, Trouble: "access token: HTTP 500", Connects: 1})
	r.has(Lease, Warn, "has been disconnected since "+clock(ended)+": access token: HTTP 500")
	r.has(Connection, Skip, trying)

	again := ended.Add(time.Minute) // the bucket does not store this state
	r = says(status.Subscription{State: "connected", StateSince: again})
	r.has(Lease, Warn, "has been connected since "+clock(again)+", but bucket zoomstream-state does not say so")
	r.has(Connection, Skip, would)

	w.put(states, "state.sub-1", record.State{State: record.Connected, Replica: "r1", Nonce: "n1", Since: again.Add(time.Minute)}, 0)
	r = says(status.Subscription{State: "disconnected", StateSince: ended, Trouble: "it was so before"})
	r.has(Lease, Pass, "has been connected since "+clock(again.Add(time.Minute))) // stored after the leader's answer
	r.has(Connection, Skip, would)

	stop()
	r = w.run()
	r.has(Lease, Warn, "does not answer")
	r.has(Connection, Skip, "replica r1 holds the lease, and may be connected")
	w.sockets(0)
}

func withoutJetStream(o *server.Options) { o.JetStream = false }
