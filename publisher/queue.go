package publisher

import (
	"time"

	"github.com/nats-io/nats.go"
)

// entry is one accepted message.
type entry struct {
	msg      *nats.Msg
	owner    any
	size     int
	accepted time.Time
	first    time.Time // first sending, or when it was last known not to be stored; zero: not sent
	after    uint64    // the stream's last known sequence at that time
	sent     time.Time // last sending; zero: not yet
	sends    int
	acked    bool
	replaced int // how often Options.Refused gave another msg
}

// queue is a ring of the accepted messages, starting at the oldest one that is not
// acknowledged. They have consecutive numbers:
//
//	head <= next <= tail:  [head, next) in flight  [next, tail) to be sent (again)
//
// The Publisher's mutex guards it. Publish and Offer only add at the tail. Only Run's
// goroutine moves head and next, so it may read these two without the mutex. An entry may
// move whenever the mutex is free, since the ring grows.
type queue struct {
	ring             []entry // length a power of two
	head, next, tail uint64
}

// ringLength is the initial length of the ring. It doubles until Options.MaxPending fit.
const ringLength = 64

func newQueue() queue { return queue{ring: make([]entry, ringLength)} }

func (q *queue) at(n uint64) *entry {
	return &q.ring[n&uint64(len(q.ring)-1)]
}

// inFlight is the number of entries from head that were sent. It includes acknowledged ones
// that an older one keeps in the queue.
func (q *queue) inFlight() int { return int(q.next - q.head) }

func (q *queue) push(e entry) {
	if q.tail-q.head == uint64(len(q.ring)) {
		q.grow()
	}
	*q.at(q.tail) = e
	q.tail++
}

func (q *queue) grow() {
	larger := queue{ring: make([]entry, 2*len(q.ring))}
	for n := q.head; n < q.tail; n++ {
		*larger.at(n) = *q.at(n)
	}
	q.ring = larger.ring
}

// rewind causes everything unacknowledged to be sent again, oldest first.
func (q *queue) rewind() { q.next = q.head }

// advance moves head past the acknowledged entries.
func (q *queue) advance() {
	for q.head < q.tail && q.at(q.head).acked {
		*q.at(q.head) = entry{}
		q.head++
	}
	q.next = max(q.next, q.head)
}
