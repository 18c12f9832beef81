package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/subjects"
)

// TestPartitionOfDocs creates the partitioned stream of docs/consumers.md: all events of one object
// are in one partition, in order, and no partition has all events.
func TestPartitionOfDocs(t *testing.T) {
	t.Parallel()
	found := regexp.MustCompile("(?s)```\n(\\{.*?)```").FindStringSubmatch(readDoc(t, consumersPage))
	var source jetstream.StreamSource
	if found == nil || json.Unmarshal([]byte(found[1]), &source) != nil {
		t.Fatalf("%s has no source of a stream: %q", consumersPage, found)
	}
	s := natstest.Start(t, &server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir()})
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}}); err != nil {
		t.Fatal(err)
	}
	parts, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PARTS", Sources: []*jetstream.StreamSource{&source}})
	if err != nil {
		t.Fatal(err)
	}
	const objects = 50
	names := []string{"meeting.started", "meeting.participant_joined", "meeting.ended"}
	for _, name := range names {
		for id := range objects {
			if _, err := js.Publish(t.Context(), subjects.Keys{Object: true}.Append("zoom."+name, "", fmt.Sprint(860_000+id)), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	consumer, err := parts.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	partOf, got, used := map[string]string{}, map[string][]string{}, map[string]bool{}
	for range objects * len(names) {
		msg, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		tokens := strings.Split(msg.Subject(), ".")
		if len(tokens) != 5 || tokens[0] != "part" {
			t.Fatalf("an event is on %s", msg.Subject())
		}
		part, name, id := tokens[1], tokens[2]+"."+tokens[3], tokens[4]
		if before, seen := partOf[id]; seen && before != part {
			t.Errorf("%s is in the parts %s and %s", id, before, part)
		}
		partOf[id], got[id], used[part] = part, append(got[id], name), true
	}
	for id, got := range got {
		if !slices.Equal(got, names) {
			t.Errorf("the events of %s come as %q", id, got)
		}
	}
	if len(used) < 4 || len(used) > 8 {
		t.Errorf("%d parts are used", len(used))
	}
}
