package outbox

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/message"
)

// BenchmarkOutbox publishes messages of 1 KiB: straight to the stream, to disk while the stream
// refuses them, and from disk to the stream. Compare the three only within one run.
func BenchmarkOutbox(b *testing.B) {
	b.Run("direct", func(b *testing.B) {
		w := newBench(b)
		for i := range b.N {
			w.publish(b, i)
		}
		w.await(b, func() bool { return w.Line.Stats().Acked == uint64(b.N) })
	})
	b.Run("to-disk", func(b *testing.B) {
		w := newBench(b)
		w.refuse(b, true)
		b.ResetTimer()
		for i := range b.N {
			w.publish(b, i)
		}
		if err := w.flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("from-disk", func(b *testing.B) {
		w := newBench(b)
		w.refuse(b, true)
		for i := range b.N {
			w.publish(b, i)
		}
		if err := w.flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		w.refuse(b, false)
		w.await(b, func() bool { return w.Line.Stats().Acked > 0 }) // the stream was tried again
		acked := w.Line.Stats().Acked
		b.ResetTimer()
		w.await(b, func() bool { return w.Line.Stats().Acked == uint64(b.N) })
		b.ReportMetric(float64(uint64(b.N)-acked)/b.Elapsed().Seconds(), "messages/s")
	})
}

type bench struct {
	*Outbox
	*Line
	js jetstream.JetStream
}

func newBench(b *testing.B) *bench {
	b.Helper()
	nc, err := nats.Connect(natstest.Run(b, b.TempDir(), -1).ClientURL(), nats.ReconnectBufSize(-1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	w := &bench{js: js}
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}}); err != nil {
		b.Fatal(err)
	}
	w.Outbox = New(js, Options{Stream: "ZOOM", SpoolDir: b.TempDir(), SpoolMax: 8 << 30, Log: zerolog.Nop()})
	w.Line = w.Outbox.Line("sub", "1", nil)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) }) //nolint:errcheck // the connection outlives it
	b.Cleanup(func() { cancel(); running.Wait() })
	return w
}

var filler = strings.Repeat("x", 1024)

func (w *bench) publish(b *testing.B, i int) {
	msg := &nats.Msg{Subject: "zoom.meeting.participant_joined", Data: []byte(filler), Header: nats.Header{
		nats.MsgIdHdr: {"v=2.0;clid=us02;rid=WEB_" + strconv.Itoa(i)}, "Zoom-Event": {"meeting.participant_joined"}, message.HeaderSubscription: {"sub"},
		message.HeaderEpoch: {"1"}, "Zoom-Seq": {strconv.Itoa(i)}, "Zoom-Received-At": {"2026-01-01T00:00:00.000000000Z"},
	}}
	if err := w.Publish(b.Context(), msg, Times{}); err != nil {
		b.Fatal(err)
	}
}

// refuse has the stream refuse all messages, or accept them again.
func (w *bench) refuse(b *testing.B, closed bool) {
	b.Helper()
	cfg := jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Discard: jetstream.DiscardNew, MaxMsgSize: -1}
	if closed {
		cfg.MaxBytes = 1
	}
	if _, err := w.js.UpdateStream(b.Context(), cfg); err != nil {
		b.Fatal(err)
	}
}

func (w *bench) await(b *testing.B, holds func() bool) {
	b.Helper()
	for !holds() {
		time.Sleep(time.Millisecond)
	}
}
