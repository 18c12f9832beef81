package kv

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestMain starts the nats-server's clock for access times outside any bubble.
func TestMain(m *testing.M) {
	ats.Register()
	code := m.Run()
	ats.Unregister()
	os.Exit(code)
}

// slow runs a test on fake time with a bucket whose JetStream API answers late: what a request
// causes comes before its answer.
func slow(t *testing.T, f func(t *testing.T, b *Bucket)) {
	t.Helper()
	runtime.GC() // nats.go's pool must not keep timers of the last bubble
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		s := natstest.Start(t, &server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir()})
		nc, err := nats.Connect("", nats.InProcessServer(s))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		_, err = nc.Subscribe("slow.>", func(msg *nats.Msg) {
			subject := strings.TrimPrefix(msg.Subject, "slow.")
			if !strings.HasPrefix(subject, "$KV.") {
				subject = "$JS.API." + subject
			}
			answer, err := nc.RequestMsg(&nats.Msg{Subject: subject, Header: msg.Header, Data: msg.Data}, time.Second)
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(10 * time.Millisecond)
			msg.Respond(answer.Data) //nolint:errcheck // then the test fails
		})
		if err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.NewWithAPIPrefix(nc, "slow")
		if err != nil {
			t.Fatal(err)
		}
		b, err := Open(t.Context(), js, Options{Name: "leases", TTLs: true})
		if err != nil {
			t.Fatal(err)
		}
		f(t, b)
	})
}

// TestWatchTellsAllBeforeItsAnswer: entries arrive before the answer to the request for them. Code
// that holds a mutex while it waits for that answer, and needs the same mutex for an entry, stops a
// bubble's clock.
func TestWatchTellsAllBeforeItsAnswer(t *testing.T) {
	slow(t, func(t *testing.T, b *Bucket) {
		const keys = 600 // more than a client library buffers
		for n := range keys {
			if _, err := b.Put(t.Context(), fmt.Sprint("key.", n), []byte("a"), 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		heard := make(map[string]bool)
		b.Watch(ctx, "key.>", func(key string, e Entry) {
			if heard[key] = true; len(heard) == keys {
				cancel()
			}
		})
		if len(heard) != keys {
			t.Fatalf("heard of %d of %d keys", len(heard), keys)
		}
	})
}
