//go:build unix && !race

package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// refusalCases cause the refusals, by the runbook's heading.
var refusalCases = map[string]func(*scene){
	"Settings are missing":          refusedMissing,
	"A setting is unknown":          refusedUnknown,
	"A setting is wrong":            refusedWrong,
	"Client id or secret":           refusedClient,
	"Account id":                    refusedAccount,
	"Type of the app":               refusedGrant,
	"Subscription id":               refusedSubscription,
	"Zoom refuses the connection":   refusedConnection,
	"NATS is not there":             refusedNoNATS,
	"NATS refuses the credentials":  refusedUser,
	"A permission is missing":       refusedPermission,
	"JetStream is off":              refusedJetStream,
	"The stream is sealed":          refusedSealed,
	"The stream has other subjects": refusedSubjects,
	"The subjects are taken":        refusedTaken,
	"No cluster":                    refusedCluster,
	"The bucket has no TTL":         refusedBucket,
	"The data folder is in use":     refusedFolder,
	"Port 4222 is in use":           refusedPort,
	"The HTTP address is in use":    refusedHTTP,
}

// ends starts a replica, and checks that it ends by itself with an exit code.
func (s *scene) ends(code int, settings ...string) {
	s.t.Helper()
	s.run(settings...).exit(code)
}

func refusedMissing(s *scene) {
	s.environ = nil
	s.ends(exitConfig)
}

const unknownSetting = "ZOOMSTREAM_STREM"

func refusedUnknown(s *scene) {
	s.set(unknownSetting + "=EVENTS")
	s.ends(exitConfig)
}

func refusedWrong(s *scene) {
	s.set("ZOOMSTREAM_LEASE_TTL=fifteen")
	s.ends(exitConfig)
}

func refusedClient(s *scene) {
	s.set("ZOOM_CLIENT_SECRET=wrong-must-not-leak")
	s.ends(exitConfig)
}

func refusedAccount(s *scene) {
	s.set("ZOOM_ACCOUNT_ID=another")
	s.ends(exitConfig)
}

func refusedGrant(s *scene) {
	s.failTokens(zoomsim.TokenUnsupportedGrant)
	s.ends(exitConfig)
}

// refusedSubscription uses a path that Zoom does not know.
func refusedSubscription(s *scene) {
	s.set("ZOOM_WEBSOCKET_URL=" + strings.Replace(s.setting("ZOOM_WEBSOCKET_URL"), "/ws?", "/nothing-here?", 1))
	s.run()
}

func refusedConnection(s *scene) {
	s.refuse(zoomsim.RefuseNew)
	s.run()
}

func refusedNoNATS(s *scene) {
	s.down()
	s.run()
}

func refusedUser(s *scene) {
	s.user(nil)
	s.set("NATS_PASSWORD=wrong-must-not-leak")
	s.run()
}

func refusedPermission(s *scene) {
	s.user(&server.SubjectPermission{Deny: []string{"$JS.API.INFO"}})
	s.run()
}

func refusedJetStream(s *scene) {
	s.instead(&server.Options{})
	s.run()
}

func refusedSealed(s *scene) {
	js := jetStream(s.t, s.nats.ClientURL())
	c := jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}}
	s.stream(c)
	c.Sealed = true
	if _, err := js.UpdateStream(s.t.Context(), c); err != nil {
		s.t.Fatal(err)
	}
	s.ends(exitConfig)
}

func refusedSubjects(s *scene) {
	s.stream(jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.meeting.>"}})
	s.ends(exitConfig)
}

func refusedTaken(s *scene) {
	s.stream(jetstream.StreamConfig{Name: "ARCHIVE", Subjects: []string{"zoom.>"}})
	s.ends(exitConfig)
}

func refusedCluster(s *scene) {
	s.set("ZOOMSTREAM_STREAM_REPLICAS=3")
	s.ends(exitConfig)
}

func refusedBucket(s *scene) {
	_, err := jetStream(s.t, s.nats.ClientURL()).CreateKeyValue(s.t.Context(), jetstream.KeyValueConfig{Bucket: "zoomstream"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.ends(exitConfig)
}

// refusedFolder locks a folder like another process would.
func refusedFolder(s *scene) {
	s.embed()
	lock := flock.New(filepath.Join(s.setting("ZOOMSTREAM_DATA_DIR"), "nats.lock"))
	if locked, err := lock.TryLock(); !locked {
		s.t.Fatalf("the folder is not locked: %v", err)
	}
	s.t.Cleanup(func() { lock.Unlock() })
	s.ends(exitFailure)
}

// embed has programs start a NATS server of their own.
func (s *scene) embed() { s.set("NATS_URL=") }

func refusedPort(s *scene) {
	s.take(fmt.Sprintf("127.0.0.1:%d", s.port))
	s.embed()
	s.ends(exitFailure)
}

// take listens at an address, so that it is taken.
func (s *scene) take(address string) string {
	s.t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { listener.Close() })
	return listener.Addr().String()
}

func refusedHTTP(s *scene) {
	s.set("ZOOMSTREAM_HTTP_ADDR=" + s.take("127.0.0.1:0"))
	s.ends(exitFailure)
}
