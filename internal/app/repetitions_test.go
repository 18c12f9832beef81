package app

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

func TestRepetitionsAreRemembered(t *testing.T) {
	var r repetitions
	at := time.Now()
	if found := r.of([]string{"a"}); len(found) != 0 {
		t.Errorf("%+v", found)
	}
	r.add("a", "local", at)
	r.add("a", "stream", at.Add(time.Minute))
	r.add("b", "local", at)
	found := r.of([]string{"b", "c", "a", ""})
	want := []status.Seen{{ID: "b", Times: 1, Where: "local", First: at, Last: at}, {ID: "a", Times: 2, Where: "stream", First: at, Last: at.Add(time.Minute)}}
	if !slices.Equal(found, want) {
		t.Errorf("%+v", found)
	}
}

func TestRepetitionsAreBounded(t *testing.T) {
	var r repetitions
	at := time.Now()
	for n := range 3*keepRepetitions + 7 {
		r.add(fmt.Sprint(n), "local", at)
		r.add(fmt.Sprint(n), "local", at)
		if len(r.seen) > keepRepetitions || len(r.order) > keepRepetitions {
			t.Fatalf("%d and %d are kept", len(r.seen), len(r.order))
		}
	}
	last := 3*keepRepetitions + 6
	if len(r.of([]string{fmt.Sprint(last), fmt.Sprint(last - keepRepetitions + 1)})) != 2 || len(r.of([]string{fmt.Sprint(last - keepRepetitions)})) != 0 {
		t.Error("not the latest are kept")
	}
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := range 2000 {
				r.add(fmt.Sprint(n, i), "local", at)
				r.of([]string{fmt.Sprint(n, i)})
			}
		})
	}
	all.Wait()
	if len(r.seen) != keepRepetitions {
		t.Errorf("%d are kept", len(r.seen))
	}
}

// TestSeen: an event that came three times, and once more to the next process, is stored once. Its
// repetitions are counted, and reported to whoever asks for its id.
func TestSeen(t *testing.T) {
	h := newMonitored(t)
	event := zoomsim.Event{Body: []byte(`{"event":"meeting.started","event_ts":1}`), TrackingID: "WEB_1"}
	thrice := event
	thrice.Repeat = 3
	h.startWith(func(*Options) {})
	h.ready()
	h.sim.Emit(subID, thrice)
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.ended"})
	h.waitStored(2)
	id := h.stored()[0].Headers().Get("Nats-Msg-Id")
	if seen := h.seen(id); len(seen) != 1 || seen[0].ID != id || seen[0].Times != 2 || seen[0].Where != "local" || seen[0].Last.Before(seen[0].First) || time.Since(seen[0].First) > time.Minute {
		t.Errorf("%+v", seen)
	}
	if s := h.status().Subscriptions[0]; s.Events != 4 || s.Duplicates != 2 || s.Published != 2 {
		t.Errorf("%+v", s)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h.startWith(func(*Options) {})
	h.ready()
	h.sim.Emit(subID, event)
	h.await("the stream recognises it", 10*time.Second, func() bool { return len(h.seen(id)) == 1 })
	if seen := h.seen(id, "unknown", id); seen[0].Times != 1 || seen[0].Where != "stream" {
		t.Errorf("%+v", seen)
	}
	if s := h.status().Subscriptions[0]; s.Duplicates != 1 || s.Events != 1 {
		t.Errorf("%+v", s)
	}
}

func (h *harness) seen(ids ...string) []status.Seen {
	h.t.Helper()
	nc, err := nats.Connect(h.nats.ClientURL())
	if err != nil {
		h.t.Fatal(err)
	}
	defer nc.Close()
	question, _ := json.Marshal(map[string][]string{"ids": ids})
	msg, err := nc.Request("zoomstream.zoomstream.seen", question, 2*time.Second)
	if err != nil {
		return nil // no answer yet
	}
	var answer status.SeenAnswer
	if err := json.Unmarshal(msg.Data, &answer); err != nil || answer.Replica != "replica-1" {
		h.t.Fatalf("%s: %v", msg.Data, err)
	}
	return answer.Seen
}
