//go:build unix && !race

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

var zoomEvent = zoomsim.Event{Name: "meeting.started"}

// alertCases cause the alarms and the other alerts, by the runbook's heading.
var alertCases = map[string]func(*scene){
	"late": caseLate, "silent": caseSilent, "contested": caseContested, "token": caseToken, "stream": caseStream,
	"spooling": caseSpooling, "spool": caseSpool, "spool-full": caseSpoolFull, "consumers": caseConsumers,

	"absent": caseAbsent, "no-leader": caseNoLeader, "two-leaders": caseTwoLeaders, "leader-changes": caseLeaderChanges,
	"lease-margin": caseLeaseMargin, "no-standby": caseNoStandby, "replica-down": caseReplicaDown, "not-ready": caseNotReady,
	"restarts": caseRestarts,

	"not-connected": caseNotConnected, "no-frame": caseNoFrame, "reconnecting": caseReconnecting, "gaps": caseGaps,
	"zoom-delay": caseZoomDelay, "store-slow": caseStoreSlow, "duplicates": caseDuplicates, "malformed": caseMalformed,
	"signature": caseSignature, "nats": caseNATS,
}

// The alarms, each caused in the most common way.

func caseLate(s *scene) {
	s.connected()
	s.emit(3, zoomsim.Event{Name: "meeting.started", Late: 2 * time.Hour})
}

func caseSilent(s *scene) {
	s.set("ZOOMSTREAM_ALARM_SILENT=3s")
	s.connected()
	s.emit(1, zoomEvent)
}

func caseContested(s *scene) {
	s.connected()
	s.stranger()
}

// stranger connects to the subscription, as a program on somebody's laptop would.
func (s *scene) stranger() {
	s.t.Helper()
	url := s.setting("ZOOM_WEBSOCKET_URL") + "&access_token=" + s.sim.IssueToken()
	conn, _, err := websocket.Dial(s.t.Context(), url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.CloseNow() })
	conn.CloseRead(s.t.Context())
}

// setting returns the value of a setting of the scene.
func (s *scene) setting(name string) (value string) {
	for _, entry := range s.environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

func caseToken(s *scene) {
	s.failTokens(zoomsim.TokenHTTP500)
	s.listen()
	s.run()
}

func (s *scene) failTokens(mode zoomsim.TokenMode) {
	s.t.Helper()
	if err := s.sim.FailTokens(zoomsim.TokenFault{Mode: mode}, zoomsim.Span{}); err != nil {
		s.t.Fatal(err)
	}
}

func caseStream(s *scene) {
	s.stream(jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Discard: jetstream.DiscardNew, MaxMsgs: 2})
	s.connected()
	s.emit(5, zoomEvent)
}

// stream creates a stream that is not zoomstream's own.
func (s *scene) stream(c jetstream.StreamConfig) {
	s.t.Helper()
	if _, err := jetStream(s.t, s.nats.ClientURL()).CreateStream(s.t.Context(), c); err != nil {
		s.t.Fatal(err)
	}
}

func caseSpooling(s *scene) {
	s.stores()
	s.down()
	s.emit(1, zoomEvent)
}

func caseSpool(s *scene) {
	file := filepath.Join(s.t.TempDir(), "spool")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.set("ZOOMSTREAM_SPOOL_DIR=" + file)
	s.connected()
}

func caseSpoolFull(s *scene) {
	s.set("ZOOMSTREAM_SPOOL_MAX=16MiB")
	s.stores()
	s.down()
	s.emit(24, zoomsim.Event{Body: zoomsim.SizedBody("meeting.started", 900<<10)})
}

// caseConsumers has a consumer whose program does not run, and a stream that is full.
func caseConsumers(s *scene) {
	s.stream(jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, MaxMsgs: 5})
	js := jetStream(s.t, s.nats.ClientURL())
	if _, err := js.CreateConsumer(s.t.Context(), "ZOOM", jetstream.ConsumerConfig{Durable: "archive", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		s.t.Fatal(err)
	}
	for range 5 {
		if _, err := js.Publish(s.t.Context(), "zoom.meeting.started", []byte("{}")); err != nil {
			s.t.Fatal(err)
		}
	}
	s.connected()
}

// The other alerts.

func caseZoomDelay(s *scene) {
	caseLate(s)
	s.find = "zoomsim-late"
	s.emit(1, zoomsim.Event{Name: "meeting.started", Late: 2 * time.Hour, TrackingID: s.find})
}

// caseStoreSlow has the network to NATS hang for a while.
func caseStoreSlow(s *scene) {
	link := newLink(s.t, s.nats.Addr().String())
	s.set("NATS_URL=nats://" + link.address())
	s.stores()
	link.hang(true)
	s.emit(20, zoomEvent)
	time.Sleep(3 * time.Second)
	link.hang(false)
}

func caseNATS(s *scene) {
	s.stores()
	s.down()
}

func caseLeaseMargin(s *scene) {
	s.set("ZOOMSTREAM_LEASE_TTL=3s")
	caseNATS(s)
}

func caseDuplicates(s *scene) {
	s.connected()
	s.find = "zoomsim-again"
	s.emit(1, zoomsim.Event{Name: "meeting.started", TrackingID: s.find, Repeat: 4})
}

func caseMalformed(s *scene) {
	s.connected()
	s.sim.SendRaw(testSubscription, zoomsim.GarbageFrames()["html"], false)
}

func caseSignature(s *scene) {
	s.set("ZOOM_SECRET_TOKEN=secret-token-must-not-leak")
	s.connected()
	s.find = "zoomsim-signed"
	s.emit(1, zoomsim.Event{Name: "meeting.started", TrackingID: s.find})
}

func caseGaps(s *scene) {
	s.connected()
	s.closeSockets()
	s.emit(1, zoomEvent)
}

func (s *scene) closeSockets() {
	s.t.Helper()
	if _, err := s.sim.CloseSockets(testSubscription, 1001, "maintenance"); err != nil {
		s.t.Fatal(err)
	}
}

func caseReconnecting(s *scene) {
	p := s.connected()
	for n := 1; n < 4; n++ {
		s.closeSockets()
		s.until("another connection", func() bool { return strings.Count(p.stderr.String(), "connected to Zoom") > n })
	}
}

func caseNotConnected(s *scene) {
	s.refuse(zoomsim.RefuseHTTP503)
	s.run()
}

func (s *scene) refuse(mode zoomsim.RefuseMode) {
	s.t.Helper()
	if err := s.sim.Refuse(testSubscription, zoomsim.Refusal{Mode: mode}, zoomsim.Span{}); err != nil {
		s.t.Fatal(err)
	}
}

func caseNoFrame(s *scene) {
	s.set("ZOOMSTREAM_HEARTBEAT=2s")
	s.connected()
	s.sim.Freeze(testSubscription, 0, true)
}

// The alerts about replicas.

func caseAbsent(s *scene) {
	p := s.stores()
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// caseNoLeader has a NATS user that may not take a lease.
func caseNoLeader(s *scene) {
	s.user(&server.SubjectPermission{Deny: []string{"$KV.zoomstream.>"}})
	s.run()
}

// user starts a NATS whose only user has the given restrictions on publishing.
func (s *scene) user(publish *server.SubjectPermission) {
	s.t.Helper()
	user := &server.User{Username: "zoomstream", Password: "password", Permissions: &server.Permissions{Publish: publish}}
	s.instead(&server.Options{JetStream: true, Users: []*server.User{user}})
	s.set("NATS_USER=zoomstream", "NATS_PASSWORD=password")
}

// caseTwoLeaders has replicas that use different buckets.
func caseTwoLeaders(s *scene) {
	one := s.connected()
	two := s.connected("ZOOMSTREAM_BUCKET=other", "ZOOMSTREAM_DATA_DIR="+s.t.TempDir())
	const leads = `zoomstream_leader{subscription="sub-1"} 1`
	s.until("two leaders", func() bool {
		return strings.Contains(s.get(one, "metrics"), leads) && strings.Contains(s.get(two, "metrics"), leads)
	})
}

// caseLeaderChanges stops the leader's process for longer than its lease lasts.
func caseLeaderChanges(s *scene) {
	s.set("ZOOMSTREAM_LEASE_TTL=3s")
	leader := s.connected()
	other := s.beside()
	leader.signal(syscall.SIGSTOP)
	other.says(&other.stderr, "connected to Zoom")
	leader.signal(syscall.SIGCONT)
}

func caseNoStandby(s *scene) { s.connected() }

func caseReplicaDown(s *scene) {
	leader := s.stores()
	s.beside()
	leader.signal(syscall.SIGKILL)
	<-leader.exited
}

func caseNotReady(s *scene) {
	s.down()
	s.run()
}

func caseRestarts(s *scene) {
	s.set("ZOOM_CLIENT_SECRET=wrong-must-not-leak")
	s.run().exit(exitConfig)
}
