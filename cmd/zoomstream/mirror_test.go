//go:build unix && !race

// Excluded under the race detector, because the link that joins the clusters is.

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestSecondCluster has a second cluster keep a mirror of the stream, as described in deploy/nats.
// A replica publishes while the link between them is cut and mended. In the end both streams are
// the same, and a consumer of the mirror has every event once, in order.
func TestSecondCluster(t *testing.T) {
	t.Parallel()
	leafPort := natstest.Port(t)
	hub := natsFrom(t, "../../deploy/nats/hub.conf", t.TempDir(), -1, func(o *server.Options) {
		o.LeafNode.Port, o.SyncAlways = leafPort, false
		o.LeafNode.NoAdvertise = true // otherwise the servers find a way around the link
	})
	joined := newLink(t, fmt.Sprint("127.0.0.1:", leafPort))
	second := natsFrom(t, "../../deploy/nats/second.conf", t.TempDir(), -1, func(o *server.Options) {
		for _, u := range o.LeafNode.Remotes[0].URLs {
			u.Host = joined.address()
		}
		o.LeafNode.ReconnectInterval, o.SyncAlways = 100*time.Millisecond, false
	})

	f := newFleet(t, hub.ClientURL(), testSubscription)
	f.add()
	there := jetStream(t, second.ClientURL())
	f.flow(400)
	f.flows(400)
	mirror := mirrorOf(t, there)
	live, err := there.Conn().SubscribeSync("zoom.>")
	if err == nil {
		err = there.Conn().Publish("zoom.meeting.forged", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := mirror.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "billing", FilterSubject: "zoom.>", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	follows(t, f.js, there)
	read := take(t, consumer)

	joined.cut(true)
	f.flows(200) // by now, what was in flight has arrived or is lost
	stopped := lastSequence(t, there)
	f.flows(400)
	if now := lastSequence(t, there); now != stopped || lastSequence(t, f.js) < stopped+400 {
		t.Fatalf("the link is cut, and the mirror went from %d to %d", stopped, now)
	}
	read = append(read, take(t, consumer)...) // continues with what is there
	if last := read[len(read)-1]; last != stopped {
		t.Errorf("the consumer has message %d, and the mirror ends with %d", last, stopped)
	}

	joined.cut(false)
	f.flows(200)
	follows(t, f.js, there)
	refused := start(t, append(slices.Clone(f.settings), "NATS_URL="+second.ClientURL()), "run")
	refused.exit(exitConfig)
	if !strings.Contains(refused.stderr.String(), "is a mirror of ZOOM and takes no messages") {
		t.Errorf("a replica at the second cluster says: %s", &refused.stderr)
	}
	asked := start(t, []string{"NATS_URL=" + second.ClientURL()}, "tail")
	asked.exit(exitOK)
	if !strings.Contains(asked.stdout.String(), "meeting.started") {
		t.Errorf("tail at the second cluster says: %s%s", &asked.stdout, &asked.stderr)
	}
	if forged, err := live.NextMsg(10 * time.Second); err != nil || forged.Header != nil { // the hub never gets it
		t.Errorf("the second cluster delivers %v, %v", forged, err)
	}
	if event, err := live.NextMsg(10 * time.Second); err != nil || event.Header == nil {
		t.Errorf("events are not seen live at the second cluster: %v, %v", event, err)
	}
	f.finish()
	f.evidence().whole()
	follows(t, f.js, there)

	origin, copied := whole(t, f.js), whole(t, there)
	if len(origin) != len(copied) {
		t.Fatalf("the stream has %d messages, the mirror %d", len(origin), len(copied))
	}
	var numbers []uint64
	for i, m := range origin {
		c := copied[i]
		if m.Sequence != c.Sequence || m.Subject != c.Subject || string(m.Data) != string(c.Data) || !m.Time.Equal(c.Time) || !maps.EqualFunc(m.Header, c.Header, slices.Equal) {
			t.Fatalf("message %d: %s %v %v %s\nits copy %d: %s %v %v %s", m.Sequence, m.Subject, m.Time, m.Header, m.Data, c.Sequence, c.Subject, c.Time, c.Header, c.Data)
		}
		numbers = append(numbers, m.Sequence)
	}
	read = append(read, take(t, consumer)...)
	if !slices.Equal(read, numbers) {
		t.Errorf("the consumer of the mirror has %d messages, of %d that there are", len(read), len(numbers))
	}
}

// mirrorOf creates the mirror of deploy/nats.
func mirrorOf(t *testing.T, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	text, err := os.ReadFile("../../deploy/nats/mirror.json")
	if err != nil {
		t.Fatal(err)
	}
	var cfg jetstream.StreamConfig
	if err := json.Unmarshal(text, &cfg); err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func lastSequence(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	stream, err := js.Stream(t.Context(), "ZOOM")
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.LastSeq
}

// follows waits until the mirror has everything that the stream has now.
func follows(t *testing.T, origin, mirror jetstream.JetStream) {
	t.Helper()
	want := lastSequence(t, origin)
	for deadline := time.Now().Add(60 * time.Second); lastSequence(t, mirror) < want; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the mirror is at %d of %d", lastSequence(t, mirror), want)
		}
	}
}

// take acknowledges all messages that a consumer has at the moment, and returns their numbers.
func take(t *testing.T, consumer jetstream.Consumer) (numbers []uint64) {
	t.Helper()
	for {
		before := len(numbers)
		batch, err := consumer.FetchNoWait(500)
		if err != nil {
			t.Fatal(err)
		}
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err == nil {
				err = msg.DoubleAck(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			numbers = append(numbers, meta.Sequence.Stream)
		}
		if batch.Error() != nil {
			t.Fatal(batch.Error())
		}
		if len(numbers) == before {
			return numbers
		}
	}
}

// whole returns every message of the stream.
func whole(t *testing.T, js jetstream.JetStream) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	stream, err := js.Stream(t.Context(), "ZOOM")
	if err != nil {
		t.Fatal(err)
	}
	for sequence := stream.CachedInfo().State.FirstSeq; sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		m, err := stream.GetMsg(t.Context(), sequence)
		if err != nil {
			t.Fatalf("message %d: %v", sequence, err)
		}
		all = append(all, m)
	}
	return all
}
