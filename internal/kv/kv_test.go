package kv

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

func openBucket(t *testing.T) (*Bucket, jetstream.JetStream) {
	t.Helper()
	s := natstest.Run(t, t.TempDir(), -1)
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), js, Options{Name: "leases", TTLs: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), js, Options{Name: "leases", TTLs: true}); err != nil {
		t.Fatalf("opened a second time: %v", err)
	}
	if _, info, err := Find(t.Context(), js, Options{Name: "leases"}); err != nil || info.Config.MaxBytes != DefaultMaxBytes {
		t.Fatalf("made without a bound: %+v, %v", info, err)
	}
	return b, js
}

func expect(t *testing.T, b *Bucket, revision uint64, value string) {
	t.Helper()
	e, err := b.Get(t.Context(), "key")
	if err != nil || e.Revision != revision || string(e.Value) != value || (value == "") != (e.Value == nil) {
		t.Fatalf("found %d %q: %v; want %d %q", e.Revision, e.Value, err, revision, value)
	}
}

// TestCompareAndSwap: an entry is written and purged only at its current revision. The marker of
// a purge has a revision and a reason.
func TestCompareAndSwap(t *testing.T) {
	b, _ := openBucket(t)
	ctx := t.Context()
	expect(t, b, 0, "")
	first, err := b.Put(ctx, "key", []byte("a"), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, b, first, "a")
	for _, wrong := range []uint64{0, first - 1, first + 1} {
		if _, err := b.Put(ctx, "key", []byte("b"), wrong, 0); err == nil {
			t.Fatalf("written at revision %d, not %d", wrong, first)
		}
		if _, err := b.Purge(ctx, "key", wrong, Purge{}); err == nil {
			t.Fatalf("purged at revision %d, not %d", wrong, first)
		}
	}
	time.Sleep(50 * time.Millisecond)
	if age, err := b.Age(ctx, "key"); err != nil || age < 50*time.Millisecond || age > time.Minute {
		t.Errorf("written %s ago, %v", age, err)
	}
	if age, err := b.Age(ctx, "nothing"); err != nil || age != 0 {
		t.Errorf("nothing was written %s ago, %v", age, err)
	}
	second, err := b.Put(ctx, "key", []byte("b"), first, 0)
	if err != nil || second <= first {
		t.Fatalf("revision %d after %d: %v", second, first, err)
	}
	marker, err := b.Purge(ctx, "key", second, Purge{"why", 7})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, b, marker, "")
	if e, err := b.Get(ctx, "key"); err != nil || !e.Purged || e.Purge != (Purge{"why", 7}) {
		t.Errorf("the marker says %+v, %v", e, err)
	}
	if _, err := b.Put(ctx, "key", []byte("c"), marker, 0); err != nil {
		t.Fatalf("not written at the marker's revision: %v", err)
	}
}

// TestTTL: every write restarts the life of an entry, and watchers hear of each change.
func TestTTL(t *testing.T) {
	b, js := openBucket(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	heard := make(chan Entry, 16)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Watch(ctx, "*", func(key string, e Entry) { heard <- e })
	}()
	revision := uint64(0)
	for range 3 {
		next, err := b.Put(ctx, "key", []byte("a"), revision, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		revision = next
		if e := <-heard; e.Revision != revision || string(e.Value) != "a" {
			t.Fatalf("heard of %d %q", e.Revision, e.Value)
		}
		time.Sleep(600 * time.Millisecond)
	}
	if e := <-heard; e.Value != nil || e.Revision <= revision {
		t.Fatalf("heard of %d %q", e.Revision, e.Value)
	}
	// A deleted bucket is created again.
	if err := js.DeleteKeyValue(ctx, "leases"); err != nil {
		t.Fatal(err)
	}
	expect(t, b, 0, "")
	if _, info, err := Find(ctx, js, Options{Name: "leases"}); err != nil || info.Config.MaxBytes != DefaultMaxBytes {
		t.Fatalf("made anew without a bound: %+v, %v", info, err)
	}
	if _, err := b.Put(ctx, "key", []byte("a"), 0, time.Second); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
}
