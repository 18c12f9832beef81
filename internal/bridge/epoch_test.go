package bridge

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

// TestLastEpoch: the last known epoch of a subscription comes from its state and its newest
// message in the stream. Other subscriptions' messages and forged values do not count.
func TestLastEpoch(t *testing.T) {
	nc, states := bucketOf(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, want uint64) {
		t.Helper()
		if got, err := LastEpoch(t.Context(), js, states, "ZOOM", "a"); err != nil || got != want {
			t.Errorf("%s: %d, want %d: %v", what, got, want, err)
		}
	}
	expect("neither stream nor state", 0)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}}); err != nil {
		t.Fatal(err)
	}
	expect("an empty stream", 0)
	store := func(subscription, epoch string) {
		t.Helper()
		msg := nats.NewMsg("zoom.meeting.started")
		msg.Header.Set(message.HeaderSubscription, subscription)
		msg.Header.Set(message.HeaderEpoch, epoch)
		if _, err := js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	store("a", "70")
	expect("its own message", 70)
	for n := range epochSearch - 20 {
		store("b", fmt.Sprint(n%9))
	}
	expect("behind a neighbour's", 70)
	for _, forged := range []string{strconv.FormatUint(1<<63, 10), "99999999999999999999999", "-1", "x", ""} {
		store("b", forged)
	}
	expect("with forged ones", 70)
	state := func(text string) {
		t.Helper()
		key := record.StatePrefix + "a"
		entry, err := states.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := states.Put(t.Context(), key, []byte(text), entry.Revision, 0); err != nil {
			t.Fatal(err)
		}
	}
	state(`{"state":"connected","replica":"r","nonce":"n","epoch":90,"since":"2026-11-01T00:00:00Z"}`)
	expect("a state", 90)
	store("a", "95")
	expect("a message ahead of the state", 95)
	state(`{"state":"connected","replica":"r","nonce":"n","epoch":9223372036854775808,"since":"2026-11-01T00:00:00Z"}`)
	expect("a forged state", 95)
	state(`junk`)
	expect("no state", 95)
}
