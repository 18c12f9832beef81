package outbox

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/message"
)

var (
	stressFlag = flag.Duration("stress", 10*time.Second, "how long TestStress lasts, about")
	stressSeed = flag.Uint64("stress-seed", 0, "what its faults are drawn from; 0: the time")
)

// source publishes the numbers of one subscription, across all processes.
type source struct {
	subscription string
	next         int
	safe         int      // this process's numbers below it are stored or on disk
	must         [][2]int // ranges of numbers, from and to, that must be stored
}

func (s *source) message(n int, epoch string) *nats.Msg {
	return &nats.Msg{Subject: "zoom." + s.subscription, Data: []byte(strconv.Itoa(n)), Header: nats.Header{
		nats.MsgIdHdr: {s.subscription + strconv.Itoa(n)}, message.HeaderSubscription: {s.subscription}, message.HeaderEpoch: {epoch},
		"Filler": {strings.Repeat("x", 20+n%500/499*100_000)},
	}}
}

// feed publishes until ctx ends.
func (s *source) feed(ctx context.Context, l *Line, random *rand.Rand, epoch string) {
	for ctx.Err() == nil {
		for range 1 + random.IntN(300) {
			if l.Publish(ctx, s.message(s.next, epoch), Times{}) != nil {
				return
			}
			s.next++
		}
		if upTo := s.next; random.IntN(4) == 0 && l.flush(ctx) == nil {
			s.safe = upTo
		}
		time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
	}
}

// TestStress publishes on several Lines while NATS stops and refuses messages, processes are killed
// or stop, and the spool may be small. What was safe when its process ended is stored once, and
// each Line is in order.
func TestStress(t *testing.T) {
	t.Parallel()
	seed := *stressSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("replay: go test ./internal/outbox -run TestStress -stress-seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	sources := make([]*source, 5)
	for i := range sources {
		sources[i] = &source{subscription: fmt.Sprint("s", i)}
	}
	size := int64(plenty)
	if random.IntN(3) == 0 {
		size = 2 << 20
	}
	began := time.Now()
	for epoch := 1; time.Since(began) < *stressFlag; epoch++ {
		name := strconv.Itoa(epoch)
		r := w.begin(name, Options{Stream: "ZOOM", DuplicateWindow: w.dup, SpoolDir: w.dir, SpoolMax: size, Log: zerolog.New(w.log)})
		feeding, quit := context.WithCancel(t.Context())
		var feeders sync.WaitGroup
		for i, s := range sources {
			s.must, s.safe = append(s.must, [2]int{s.next, 0}), s.next
			feeders.Go(func() {
				s.feed(feeding, r.Outbox.Line(s.subscription, name, nil), rand.New(rand.NewPCG(seed, uint64(100*epoch+i))), name)
			})
		}
		down := w.trouble(random)
		quit()
		feeders.Wait()
		if random.IntN(2) == 0 {
			r.kill()
		} else {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if r.Drain(ctx) == nil {
				for _, s := range sources {
					s.safe = s.next
				}
			}
			cancel()
			r.stop()
		}
		for _, s := range sources {
			s.must[len(s.must)-1][1] = s.safe
			s.next += 1000 // those that were not safe may be missing
		}
		if down {
			w.up()
		}
	}
	r := w.start("last", plenty)
	<-r.known
	r.end()
	w.judge(sources)
}

// trouble disturbs NATS a few times, and reports whether NATS is away at the end.
func (w *world) trouble(random *rand.Rand) (down bool) {
	for range 2 + random.IntN(4) {
		time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
		switch random.IntN(3) {
		case 0:
			w.down()
			time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
			if random.IntN(4) == 0 {
				return true
			}
			w.up()
		case 1: // shorter, a small message may pass where a large one did not
			w.refuse(true)
			time.Sleep(time.Duration(1000+random.IntN(500)) * time.Millisecond)
			w.refuse(false)
		}
	}
	return false
}

// refuse has the stream refuse all messages, or accept them again.
func (w *world) refuse(closed bool) {
	w.t.Helper()
	cfg := jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: w.dup}
	if closed {
		cfg.Discard, cfg.MaxMsgs = jetstream.DiscardNew, 1
	}
	if _, err := w.jetstream().UpdateStream(w.t.Context(), cfg); err != nil {
		w.t.Fatal(err)
	}
}

// judge checks the stream against what the sources have published.
func (w *world) judge(sources []*source) {
	w.t.Helper()
	stored := make(map[string][]int)
	w.read(func(msg jetstream.Msg) {
		n, _ := strconv.Atoi(string(msg.Data()))
		key := strings.TrimPrefix(msg.Subject(), "zoom.")
		stored[key] = append(stored[key], n)
	})
	for _, s := range sources {
		there, last := make(map[int]bool), -1
		for _, n := range stored[s.subscription] {
			if n <= last {
				w.t.Errorf("%s: %d after %d", s.subscription, n, last)
			}
			there[n], last = true, n
		}
		lost := 0
		for _, m := range s.must {
			for n := m[0]; n < m[1]; n++ {
				if !there[n] {
					lost++
				}
			}
		}
		if lost > 0 {
			w.t.Errorf("%s: %d messages are lost that were safe", s.subscription, lost)
		}
		w.t.Logf("%s: %d messages", s.subscription, len(there))
	}
}
