package publisher

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// BenchmarkPublish compares this package with the client library's own asynchronous publisher,
// which does not keep the order through errors. Both use the same server process, and messages of 1
// KiB with an event's headers. Compare the two only within one run.
func BenchmarkPublish(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1024)
	event := func(i int) *nats.Msg {
		return &nats.Msg{Subject: "zoom.meeting.participant_joined", Data: body, Header: nats.Header{
			"Nats-Msg-Id":            {fmt.Sprintf("v=2.0;clid=us02;rid=WEB_0123456789abcdef:%016x", i)},
			"Zoom-Event":             {"meeting.participant_joined"},
			"Zoom-Subscription":      {"AAAAAAAAAAAAAAAAAAAAAA"},
			"Zoom-Received-At":       {"2026-01-01T00:00:00.000000000Z"},
			"Zoom-Epoch":             {"1"},
			"Zoom-Seq":               {"1"},
			"x-zm-trackingid":        {"v=2.0;clid=us02;rid=WEB_0123456789abcdef"},
			"x-zm-request-timestamp": {"1790985356"},
		}}
	}
	b.Run("zoomstream", func(b *testing.B) {
		nc, _ := benchStream(b)
		p := New(natstest.JetStream(b, nc), Options{Stream: "ZOOM"})
		ctx, cancel := context.WithCancel(b.Context())
		var run sync.WaitGroup
		run.Go(func() { p.Run(ctx) }) //nolint:errcheck
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if err := p.Publish(ctx, event(i)); err != nil {
				b.Fatal(err)
			}
			i++
		}
		if err := p.Flush(ctx); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		cancel()
		run.Wait()
	})
	b.Run("nats.go", func(b *testing.B) {
		_, js := benchStream(b)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if _, err := js.PublishMsgAsync(event(i)); err != nil {
				b.Fatal(err)
			}
			i++
		}
		<-js.PublishAsyncComplete()
	})
}

// BenchmarkLookUp reads the ids of 1,000 messages in the stream. Publishing pauses for so long to
// look them up after an outage.
func BenchmarkLookUp(b *testing.B) {
	nc, js := benchStream(b)
	for i := range 1000 {
		if _, err := js.PublishMsgAsync(message(i)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	for b.Loop() {
		s := newSender(New(natstest.JetStream(b, nc), Options{Stream: "ZOOM"}), nc.NewInbox())
		if err := s.readIDs(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
		if len(s.seen.ids) != 1000 {
			b.Fatalf("%d ids", len(s.seen.ids))
		}
	}
}

func benchStream(b *testing.B) (*nats.Conn, jetstream.JetStream) {
	b.Helper()
	s := natstest.Run(b, b.TempDir(), -1)
	nc, err := nats.Connect(s.ClientURL(), nats.ReconnectBufSize(-1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}}); err != nil {
		b.Fatal(err)
	}
	return nc, js
}
