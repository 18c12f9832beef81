package app

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/eventnames"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/provision"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
	"github.com/zoomstream/zoomstream/subjects"
)

// TestEveryKnownEvent sends all sample bodies, and a body for every known name, through a real
// WebSocket into a real JetStream, and reads them back.
func TestEveryKnownEvent(t *testing.T) {
	h := newHarness(t)
	h.connected()
	bodies := zoomsim.Samples()
	for _, name := range eventnames.All() {
		bodies = append(bodies, zoomsim.Body(name))
	}
	before := time.Now()
	for i, body := range bodies {
		h.sim.Emit(subID, zoomsim.Event{Body: body, AsObject: i%3 == 0, RequestID: "req-1", Traceparent: "00-ab-cd-01"})
	}
	h.sim.SendRaw(subID, h.sim.Frame(zoomsim.Event{Body: []byte(`{"event":"binary.frame"}`)}), true)
	h.finish()

	messages, entries := h.stored(), h.sim.Ledger().Entries
	if last := messages[len(messages)-1]; last.Subject() != "zoom.binary.frame" {
		t.Errorf("a binary frame is not stored: %s", last.Subject())
	}
	messages = messages[:len(messages)-1]
	if len(messages) != len(bodies) || len(bodies) < 596+92 {
		t.Fatalf("%d of %d events stored", len(messages), len(bodies))
	}
	ids := make(map[string]bool)
	for i, msg := range messages {
		headers := msg.Headers()
		if msg.Subject() != "zoom."+entries[i].Event || !bytes.Equal(msg.Data(), bodies[i]) {
			t.Errorf("event %d, %s, is stored on %s as %.80q", i, entries[i].Event, msg.Subject(), msg.Data())
		}
		ids[headers.Get("Nats-Msg-Id")] = true
		at, err := time.Parse(time.RFC3339Nano, headers.Get("Zoom-Received-At"))
		if err != nil || at.Before(before) || at.Location() != time.UTC {
			t.Errorf("Zoom-Received-At %q: %v", headers.Get("Zoom-Received-At"), err)
		}
		for key, want := range map[string]string{
			"x-zm-trackingid": entries[i].TrackingID, "Zoom-Event": entries[i].Event, "Zoom-Subscription": subID,
			"Zoom-Epoch": "1", "Zoom-Seq": strconv.Itoa(i + 1), "Zoom-Signature": "valid", "x-zm-request-id": "req-1", "traceparent": "00-ab-cd-01",
		} {
			if got := headers[key]; len(got) != 1 || got[0] != want {
				t.Errorf("event %d has %s %q, want %q", i, key, got, want)
			}
		}
		for _, key := range []string{message.HeaderAccount, message.HeaderObjectID, message.HeaderObjectUUID, message.HeaderEventAt} {
			delete(headers, key) // not in every body
		}
		if len(headers["x-zm-request-timestamp"]) != 1 || len(headers["x-zm-signature"]) != 1 || len(headers) != 12 {
			t.Errorf("event %d has the headers %v", i, headers)
		}
		assertNoCredential(t, msg)
	}
	if len(ids) != len(bodies) {
		t.Errorf("%d ids for %d events", len(ids), len(bodies))
	}
}

// assertNoCredential fails the test if a message contains an access token, or a credential of the
// app or of Zoom's older kinds. (A download_token in an event's body belongs to the event.)
func assertNoCredential(t *testing.T, msg jetstream.Msg) {
	t.Helper()
	around := fmt.Sprint(msg.Subject(), msg.Headers())
	if strings.Contains(around, "must-not-leak") || strings.Contains(around, "eyJ") || bytes.Contains(msg.Data(), []byte("must-not-leak")) {
		t.Errorf("a credential is stored on %s: %v %.300q", msg.Subject(), msg.Headers(), msg.Data())
	}
}

// TestRepeatedDeliveries sends each event three times, the third time to a restarted connector.
// Each is stored once.
func TestRepeatedDeliveries(t *testing.T) {
	h := newHarness(t)
	h.connected()
	events := make([]zoomsim.Event, 200)
	for i := range events {
		events[i] = zoomsim.Event{Body: fmt.Appendf(nil, `{"event":"meeting.started","event_ts":%d}`, i), TrackingID: fmt.Sprintf("WEB_%d", i)}
	}
	for _, e := range events {
		e.Repeat = 2
		h.sim.Emit(subID, e)
	}
	h.finish()
	h.connected()
	for _, e := range events {
		h.sim.Emit(subID, e)
	}
	// One operation, two events: both are kept, although they have the same tracking id.
	h.sim.Emit(subID, zoomsim.Event{Body: zoomsim.Body("meeting.ended"), TrackingID: "WEB_shared"})
	h.sim.Emit(subID, zoomsim.Event{Body: zoomsim.Body("recording.completed"), TrackingID: "WEB_shared"})
	h.finish()
	messages := h.stored()
	if len(messages) != 202 {
		t.Fatalf("%d messages stored, want 200 and the 2 of one tracking id", len(messages))
	}
	for i, msg := range messages[:200] { // repetitions that were recognised locally leave no hole in the numbers
		if msg.Headers().Get("Zoom-Seq") != strconv.Itoa(i+1) {
			t.Fatalf("message %d has Zoom-Seq %s", i, msg.Headers().Get("Zoom-Seq"))
		}
	}
	if text := h.log.String(); !strings.Contains(text, `"duplicates":200`) || strings.Count(text, `"duplicates":200`) != 2 {
		t.Errorf("200 duplicates are not counted twice:\n%s", text)
	}
}

// TestBrokenFrames sends two dozen kinds of broken frames, an event over NATS' limit and a deeply
// nested one. The good events after them arrive on the same connection.
func TestBrokenFrames(t *testing.T) {
	h := newHarness(t)
	h.connected()
	kinds := 0
	for kind, frame := range zoomsim.GarbageFrames() {
		if !strings.HasPrefix(kind, "odd-") {
			kinds++
		}
		h.sim.SendRaw(subID, frame, kinds%2 == 0)
	}
	large := zoomsim.SizedBody("recording.completed", 3<<20)
	h.sim.Emit(subID, zoomsim.Event{Body: large})
	for range 50 {
		h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	}
	h.finish()

	reasons := []string{message.ReasonNotJSON, message.ReasonModule, message.ReasonContent, message.ReasonEvent, message.ReasonTooLarge}
	good, malformed, cut := 0, 0, 0
	for _, msg := range h.stored() {
		assertNoCredential(t, msg)
		if msg.Subject() != subjects.Control("zoom", subjects.Malformed) {
			good++
			continue
		}
		malformed++
		headers := msg.Headers()
		if headers.Get("Zoom-Reason") == "" || !slices.Contains(reasons, headers.Get("Zoom-Reason-Code")) || headers.Get("Zoom-Epoch") == "" || headers.Get("Nats-Msg-Id") == "" {
			t.Errorf("headers %v", headers)
		}
		if headers.Get("Zoom-Size") != "" {
			cut++
			if headers.Get("Zoom-Event") != "recording.completed" || headers.Get("Zoom-Size") != strconv.Itoa(len(large)) ||
				headers.Get("Zoom-Reason-Code") != "too_large" || !bytes.HasPrefix(large, msg.Data()) || len(msg.Data()) < 1<<19 {
				t.Errorf("the large event is stored as %d bytes with %v", len(msg.Data()), headers)
			}
		}
	}
	// Broken frames with equal bytes and one tracking id would be stored once. These differ.
	if kinds < 24 || malformed != kinds+1 || cut != 1 || good != 50+distinctOdd {
		t.Errorf("%d of %d broken frames in malformed (%d cut), %d good", malformed, kinds+1, cut, good)
	}
	if sum := h.sim.Summary(subID); sum.Sockets != 1 {
		t.Errorf("%d connections", sum.Sockets)
	}
}

// distinctOdd is how many ids the simulator's "odd-" frames have, which are good events in odd
// wrappings: two lack a tracking id and have the same body.
const distinctOdd = 2

// TestOversizeThatGrows sends events over NATS' limit that are hard to cut: masking makes one
// longer, and the headers of another are long, too.
func TestOversizeThatGrows(t *testing.T) {
	h := newHarness(t)
	h.connected()
	members := strings.Repeat(`{"client_id":1},`, 80_000)
	h.sim.Emit(subID, zoomsim.Event{Body: []byte(`{"event":"a.b","x":[` + members + `0]}`)})
	long := strings.Repeat("x", 512)
	h.sim.Emit(subID, zoomsim.Event{
		Body:       []byte(`{"event":"` + long + long + `","x":"` + strings.Repeat("y", 2<<20) + `"}`),
		TrackingID: long, RequestID: long, Traceparent: long,
	})
	for range 20 {
		h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	}
	h.waitStored(22) // on a slow machine, masking takes longer than a stop may
	h.finish()
	messages := slices.DeleteFunc(h.stored(), func(m jetstream.Msg) bool { return m.Subject() == "zoom._bridge.alarm" }) // it reports a slow machine
	if len(messages) != 22 {
		t.Fatalf("%d of 22 messages stored", len(messages))
	}
	for _, msg := range messages[:2] {
		if msg.Subject() != "zoom._bridge.malformed" || len(msg.Data()) < 1<<19 {
			t.Errorf("%d bytes on %s with %v", len(msg.Data()), msg.Subject(), msg.Headers())
		}
	}
}

func TestSignatures(t *testing.T) {
	h := newHarness(t)
	h.connected()
	frame := h.sim.Frame(zoomsim.Event{Body: zoomsim.Body("meeting.started")})
	h.sim.SendRaw(subID, frame, false)
	h.sim.SendRaw(subID, bytes.Replace(frame, []byte(`"v0=`), []byte(`"v0\\u003d`), 1), false)
	h.sim.SendRaw(subID, bytes.Replace(frame, []byte("Ñandú"), []byte("Nandu"), 1), false)
	h.sim.SendRaw(subID, bytes.Replace(h.sim.Frame(zoomsim.Event{Name: "meeting.ended"}), []byte(`"x-zm-signature"`), []byte(`"none"`), 1), false)
	h.finish()
	var verdicts []string
	for _, msg := range h.stored() {
		verdicts = append(verdicts, msg.Headers().Get("Zoom-Signature"))
	}
	if got := strings.Join(verdicts, " "); got != "valid invalid invalid" { // the second one repeats the first
		t.Errorf("verdicts %q", got)
	}
}

// TestNATSComesLater starts the connector before its NATS server, and restarts the server under
// load.
func TestNATSComesLater(t *testing.T) {
	h := newHarness(t)
	port, dir := h.natsPort(), t.TempDir()
	natstest.Stop(h.nats)
	h.start()
	for !strings.Contains(h.log.String(), "waiting for NATS") {
		time.Sleep(5 * time.Millisecond)
	}
	s := natstest.Run(t, dir, port)
	h.ready()
	const count = 3000
	for i := range count {
		h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
		if i == count/3 {
			h.waitStored(count / 10)
			natstest.Stop(s)
		}
		if i == count*2/3 {
			natstest.Run(t, dir, port)
		}
	}
	h.waitStored(count)
	h.finish()
	for i, msg := range h.stored() {
		if msg.Headers().Get("Zoom-Seq") != strconv.Itoa(i+1) {
			t.Fatalf("message %d has Zoom-Seq %s", i, msg.Headers().Get("Zoom-Seq"))
		}
	}
	if sum := h.sim.Summary(subID); sum.Sockets != 1 || sum.Nobody+sum.Lost != 0 {
		t.Errorf("the outage of NATS cost the socket: %+v", sum)
	}
}

// TestStopUnderBackPressure stops the connector while NATS is away and nothing more fits. What was
// read is stored if NATS comes back in time.
func TestStopUnderBackPressure(t *testing.T) {
	h := newHarness(t)
	port, dir := h.natsPort(), t.TempDir()
	natstest.Stop(h.nats)
	s := natstest.Run(t, dir, port)
	h.connected()
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	h.waitStored(1)
	natstest.Stop(s)
	for range 6000 {
		h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	}
	for !strings.Contains(h.log.String(), "publishing paused") {
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond) // until the reader has filled what there is
	stopped := make(chan error)
	go func() { stopped <- h.stop() }()
	time.Sleep(500 * time.Millisecond)
	natstest.Run(t, dir, port)
	if err := <-stopped; err != nil {
		t.Fatalf("the connector ended with %v", err)
	}
	if got := len(h.stored()); got <= 4096 {
		t.Errorf("%d messages stored; back-pressure was not reached", got)
	}
}

func TestReconnects(t *testing.T) {
	h := newHarness(t)
	h.connected()
	for i := range 3 {
		h.sim.Cut(subID)
		h.ready()
		h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
		h.waitStored(i + 1)
	}
	h.finish()
	if got := len(h.stored()); got != 3 {
		t.Errorf("%d of 3 events stored", got)
	}
	if gaps := h.gaps(); len(gaps) != 3 || gaps[0].Cause != message.GapDisconnected || !gaps[0].Certain || gaps[0].Replica != "replica-1" || gaps[0].Epoch != 1 {
		t.Errorf("gap markers: %+v", gaps)
	}
	if !strings.Contains(h.log.String(), `"cause":"reset"`) {
		t.Errorf("the cause is not logged:\n%s", h.log)
	}
}

func TestDeniedCredentials(t *testing.T) {
	h := newHarness(t)
	h.settings.ZoomClientSecret = "another-must-not-leak"
	h.start()
	err := <-h.ended
	if _, ok := errors.AsType[*zoom.CredentialsError](err); !ok || strings.Contains(err.Error(), "must-not-leak") {
		t.Errorf("ended with %v", err)
	}
}

func TestStreamThatCannotTakeTheEvents(t *testing.T) {
	h := newHarness(t)
	if _, err := h.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"other.>"}}); err != nil {
		t.Fatal(err)
	}
	h.start()
	err := <-h.ended
	if _, ok := errors.AsType[*provision.StreamError](err); !ok || !strings.Contains(err.Error(), "zoom.>") {
		t.Errorf("ended with %v", err)
	}
	stream, err := h.js.Stream(t.Context(), "ZOOM")
	if err != nil || stream.CachedInfo().Config.Subjects[0] != "other.>" {
		t.Errorf("the stream was changed: %v", err)
	}
}

func TestBucketThatCannotHoldLeases(t *testing.T) {
	h := newHarness(t)
	if _, err := h.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "zoomstream"}); err != nil {
		t.Fatal(err)
	}
	h.start()
	err := <-h.ended
	if e, ok := errors.AsType[*natsconn.ConfigError](err); !ok || e.Setting != "ZOOMSTREAM_BUCKET" {
		t.Errorf("ended with %v", err)
	}
}

// TestEmbedded runs the default: an embedded NATS server, without any NATS setting.
func TestEmbedded(t *testing.T) {
	h := newHarness(t)
	h.settings.NATSURL = ""
	h.connected()
	large := zoomsim.SizedBody("recording.completed", 3<<20)
	h.sim.Emit(subID, zoomsim.Event{Body: large})
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	_, rest, found := strings.Cut(h.log.String(), "nats sub -s nats://")
	address, _, _ := strings.Cut(rest, " ")
	if !found {
		t.Fatalf("the address is not logged:\n%s", h.log)
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		t.Fatal(err)
	}
	h.js = connectNATS(t, "nats://"+address)
	h.waitStored(2)
	messages := h.stored()
	if messages[0].Subject() != "zoom.recording.completed" || !bytes.Equal(messages[0].Data(), large) {
		t.Errorf("an event of 3 MiB is stored on %s with %d bytes", messages[0].Subject(), len(messages[0].Data()))
	}
	h.finish()
}

// TestManySubscriptions: subscriptions do not disturb one another, and share one token.
func TestManySubscriptions(t *testing.T) {
	h := newHarness(t)
	base := h.settings.ZoomWebSocketURL
	for i := 2; i <= 10; i++ {
		h.settings.ZoomWebSocketURL += "," + strings.Replace(base, subID, fmt.Sprintf("sub-%d", i), 1)
	}
	h.start()
	for i := 1; i <= 10; i++ {
		id := fmt.Sprintf("sub-%d", i)
		if err := h.sim.WaitReady(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			h.sim.Emit(id, zoomsim.Event{Name: "meeting.started"})
		}
	}
	h.waitStored(1000)
	h.finish()
	perSubscription := make(map[string]int)
	for _, msg := range h.stored() {
		id := msg.Headers().Get("Zoom-Subscription")
		perSubscription[id]++
		if msg.Headers().Get("Zoom-Seq") != strconv.Itoa(perSubscription[id]) {
			t.Fatalf("%s: Zoom-Seq %s is out of order", id, msg.Headers().Get("Zoom-Seq"))
		}
	}
	if len(perSubscription) != 10 {
		t.Errorf("%v", perSubscription)
	}
	if n := strings.Count(h.log.String(), "access token obtained"); n != 1 {
		t.Errorf("%d tokens for one app", n)
	}
}

// TestStopWithoutTheStream stops a connector whose stream refuses messages. What was received stays
// on disk, and the next run publishes it first.
func TestStopWithoutTheStream(t *testing.T) {
	h := newHarness(t)
	h.connected()
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	h.waitStored(1)
	h.seal(true)
	for range 10_000 {
		h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	}
	h.drain()
	if _, err := h.sim.CloseSockets(subID, 1001, "maintenance"); err != nil {
		t.Fatal(err)
	}
	h.ready()
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.ended"})
	h.drain()
	began := time.Now()
	if err := h.stop(); err != nil || time.Since(began) > 9*time.Second {
		t.Fatalf("ended after %v with %v\n%s", time.Since(began), err, h.log)
	}
	if !strings.Contains(h.log.String(), "stays in the spool") {
		t.Errorf("nobody is told that events are left on disk:\n%s", h.log)
	}
	h.seal(false)
	h.connected()
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.alert"})
	h.waitEvents(10_003)
	h.finish()
	h.storedInOrder(10_003)
}

// TestDeletedStreamIsCreatedAgain: a deleted stream is created again. Only what it held is lost.
func TestDeletedStreamIsCreatedAgain(t *testing.T) {
	h := newHarness(t)
	h.connected()
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	h.waitStored(1)
	if err := h.js.DeleteStream(t.Context(), "ZOOM"); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		h.sim.Emit(subID, zoomsim.Event{Name: "meeting.ended"})
	}
	h.waitStored(301)
	h.finish()
	h.storedBesides(300, 1)
	if !strings.Contains(h.log.String(), "the stream was gone") {
		t.Errorf("nobody is told:\n%s", h.log)
	}
}

// TestDeletedStreamOfOthers: the connector waits until the stream's owners have restored it.
func TestDeletedStreamOfOthers(t *testing.T) {
	h := newHarness(t)
	theirs := jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: 30 * time.Minute}
	if _, err := h.js.CreateStream(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	h.connected()
	if err := h.js.DeleteStream(t.Context(), "ZOOM"); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		h.sim.Emit(subID, zoomsim.Event{Name: "meeting.ended"})
	}
	h.await("the alarm is raised", time.Minute, func() bool {
		return strings.Contains(h.log.String(), "must restore it") && strings.Contains(h.log.String(), "alarm.raised")
	})
	if _, err := h.js.Stream(t.Context(), "ZOOM"); err == nil {
		t.Error("another team's stream is created")
	}
	if _, err := h.js.CreateStream(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	h.waitStored(300)
	h.finish()
	h.storedBesides(300, 1)
}

// storedBesides checks that the stream has so many events, and that the alarm stream was raised so
// often.
func (h *harness) storedBesides(events, alarms int) {
	h.t.Helper()
	raised, stored := 0, 0
	for _, msg := range h.stored() {
		if msg.Subject() != "zoom._bridge.alarm" {
			stored++
		}
	}
	for _, a := range h.told(message.AlarmStream) {
		if a.Raised {
			raised++
		}
	}
	if stored != events || raised != alarms {
		h.t.Errorf("%d events stored, want %d; %d alarms raised, want %d", stored, events, raised, alarms)
	}
}
