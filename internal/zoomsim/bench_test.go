package zoomsim_test

import (
	"testing"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// BenchmarkBurst is the whole path of an event of 1 KiB from Traffic to a client that reads and
// drops it. Both are on loopback.
func BenchmarkBurst(b *testing.B) {
	for _, c := range []struct{ name, secret string }{{"plain", ""}, {"signed", "shh"}} {
		b.Run(c.name, func(b *testing.B) {
			z := onTCP(b, zoomsim.Options{SecretToken: c.secret})
			p := z.connect("S1")
			b.SetBytes(1024)
			b.ReportAllocs()
			b.ResetTimer()
			done := make(chan error, 1)
			go func() {
				_, err := z.Traffic(b.Context(), zoomsim.Traffic{
					Subscription: "S1", Count: int64(b.N), Bodies: [][]byte{zoomsim.SizedBody("meeting.started", 1024)},
				})
				done <- err
			}()
			for range b.N {
				if _, _, err := p.Read(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkEmit is an event without the network: no client is connected.
func BenchmarkEmit(b *testing.B) {
	sim := zoomsim.New(zoomsim.Options{})
	defer sim.Close()
	b.ReportAllocs()
	b.ResetTimer()
	sim.Traffic(b.Context(), zoomsim.Traffic{Subscription: "S1", Count: int64(b.N)})
}
