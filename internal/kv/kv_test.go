package lease

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/natstest"
)

func TestClaim(t *testing.T) {
	s := natstest.Run(t, t.TempDir(), -1)
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{Bucket: "zoomstream", TTL: time.Second}
	last := uint64(0)
	for range 3 { // each as a process of its own, the bucket being there from the second on
		store, err := Open(t.Context(), js, opt)
		if err != nil {
			t.Fatal(err)
		}
		epoch, err := store.Claim(t.Context(), "sub-1", "replica-1")
		if err != nil || epoch <= last {
			t.Fatalf("epoch %d after %d: %v", epoch, last, err)
		}
		last = epoch
	}
	kv, err := js.KeyValue(t.Context(), "zoomstream")
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := kv.Watch(t.Context(), "lease.sub-1")
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Stop() //nolint:errcheck
	entry := <-watcher.Updates()
	var record Record
	if err := json.Unmarshal(entry.Value(), &record); err != nil || record.Replica != "replica-1" || record.Nonce == "" || record.PID == 0 || entry.Revision() != last {
		t.Errorf("%s: %v", entry.Value(), err)
	}
	for entry = range watcher.Updates() { // until it expires
		if entry != nil && entry.Operation() == jetstream.KeyValuePurge {
			return
		}
	}
}
