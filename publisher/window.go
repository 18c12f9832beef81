package publisher

import (
	"time"

	"github.com/nats-io/nats.go"
)

// entry is one accepted message.
type entry struct {
	msg      *nats.Msg
	tag      uint64
	size     int
	accepted time.Time
	first    time.Time // first sending, or when it was last known not to be stored
	after    uint64    // the last known sequence of the stream then
	sent     time.Time // last sending; zero: not yet
	sends    int
	acked    bool
	replaced int // how often Options.Refused gave another msg
}

// window is the ring of messages that Run has taken: those in flight, and
// after a rewind those to be sent again. Entries have consecutive numbers.
//
//	head <= next <= tail:  [head, next) in flight  [next, tail) to be sent (again)
type window struct {
	ring             []entry // length a power of two
	head, next, tail uint64
}

func newWindow(size int) *window {
	length := 1
	for length < size {
		length *= 2
	}
	return &window{ring: make([]entry, length)}
}

func (w *window) at(n uint64) *entry {
	return &w.ring[n&uint64(len(w.ring)-1)]
}

// inFlight is the number of entries that were sent and are not yet behind head.
func (w *window) inFlight() int { return int(w.next - w.head) }

// held is the number of entries in the ring.
func (w *window) held() int { return int(w.tail - w.head) }

func (w *window) push(e entry) {
	*w.at(w.tail) = e
	w.tail++
}

// rewind makes everything unacknowledged be sent again, oldest first.
func (w *window) rewind() { w.next = w.head }

// advance moves head over what is acknowledged, and returns it.
func (w *window) advance() uint64 {
	for w.head < w.tail && w.at(w.head).acked {
		*w.at(w.head) = entry{}
		w.head++
	}
	w.next = max(w.next, w.head)
	return w.head
}
