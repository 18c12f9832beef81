package app

import (
	"context"
	"testing"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// BenchmarkSocketToStream is the whole path of an event of 1 KiB, in one process: simulated Zoom,
// WebSocket, connector, nats-server. Compare it with publisher's BenchmarkPublish/nats.go of the
// same run, which has neither Zoom nor its socket.
func BenchmarkSocketToStream(b *testing.B) {
	h := newHarness(b)
	h.connected()
	body := zoomsim.SizedBody("meeting.participant_joined", 1024)
	b.ReportAllocs()
	b.ResetTimer()
	n := int64(b.N)
	if _, err := h.sim.Traffic(context.Background(), zoomsim.Traffic{Subscription: subID, Count: n, Bodies: [][]byte{body}}); err != nil {
		b.Fatal(err)
	}
	h.waitStored(b.N)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
