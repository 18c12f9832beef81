// Package publisher publishes messages to NATS JetStream, pipelined and in order,
// and accounts for every acknowledgement.
//
// A [Publisher] keeps a window of messages in flight. As long as all goes well
// it sends each message as it comes. On the first sign of trouble (no responder,
// an error answer, a lost connection, an acknowledgement that is overdue or
// overtaken by a later one) it pauses and probes with the oldest unacknowledged
// message. Once that one is acknowledged, it sends the rest again in order:
//
//	       error, disconnect, ack time-out or overtaken
//	open ---------------------------------> probing (window 1, back-off 250 ms to 2 s)
//	  ^                                         |
//	  +-----------------------------------------+
//	       oldest message acknowledged
//
// From its acceptance to its acknowledgement, a message has one place in one queue:
//
//	stored <--- [ in flight | to be sent ] <--- Publish, Offer
//	          oldest        |           newest
//	                        +--> sent; a pause moves this mark back to the oldest
//
// Therefore:
//
//   - Every message that is accepted and not acknowledged is in the queue, and
//     [Publisher.Unacked] shows it. Only an acknowledgement or a look-up removes it.
//   - Messages are sent in the order in which they were accepted, also when they are
//     sent again.
//   - A message is marked as sent before it is sent, never after.
//   - The bounds of [Options] apply to the queue as a whole.
//
// Order survives any failure of the connection, the server or the stream, with one
// exception: if a single message is refused or dropped while its successors in flight
// are stored, it is stored after those, at most a window of them.
//
// A message accepted by [Publisher.Publish] is never dropped. It may be sent
// more than once, so each one should carry a Nats-Msg-Id by which the stream
// recognises the repetition
// (https://docs.nats.io/nats-concepts/jetstream/streams#message-deduplication).
// If the stream may have forgotten the id, the message is looked up before it is
// sent again.
//
// The connection should have nats.ReconnectBufSize(-1): the client's own buffer
// would send old messages after a reconnect, without the publisher's knowledge.
package publisher

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrClosed is returned by Publish and Flush after Run has ended.
var ErrClosed = errors.New("publisher is closed")

// Options of a Publisher. The zero value of each field is usable.
type Options struct {
	// Stream is the stream whose acknowledgements count. One from another
	// stream, to which the subject belongs by mistake, pauses publishing.
	// Empty: any stream counts.
	Stream string
	// DuplicateWindow is that of the stream. A message that was sent over three
	// quarters of it ago and not acknowledged may be stored, and its id soon
	// forgotten. So it is looked up in Stream before it is sent again. 0: never.
	DuplicateWindow time.Duration
	// After is the stream's last sequence when the publisher was made. A
	// look-up of a message that this publisher sent reads only what comes after it.
	After uint64
	// Window is the number of messages in flight, 1024 by default.
	Window int
	// MaxPending and MaxPendingBytes bound what Publish accepts before it
	// blocks: 4096 messages and 32 MiB by default. MaxPending is at least
	// Window. A single larger message is accepted when nothing else is pending.
	MaxPending      int
	MaxPendingBytes int
	// AckWait is how long the oldest message may wait for its acknowledgement,
	// 5 s by default. It starts anew whenever the message before is acknowledged.
	AckWait time.Duration

	// Run's goroutine calls the functions below; they must not block.

	// Acked is called with each stored message.
	Acked func(Ack)
	// Refused returns a replacement for a message that can never be stored
	// as it is (too large, for example). The replacement takes its place in
	// the order. If it is refused too, Refused is called once more. If Refused
	// is not set or returns nil, the message is retried for ever.
	Refused func(msg *nats.Msg, err error) *nats.Msg
	// Changed is called with the reason when publishing pauses, and with nil
	// when it resumes.
	Changed func(err error)
}

// Message is what Offer accepts.
type Message struct {
	Msg   *nats.Msg
	Owner any // the caller's reference to the message; returned in its Ack
	Size  int // bytes of Msg according to the function Size, if the caller knows; 0: computed
	// Sent is when an earlier process may have sent the message; zero: never.
	// After is the stream's last sequence at that time, or an older one.
	Sent  time.Time
	After uint64
}

// Ack says that a message is stored.
type Ack struct {
	Msg       *nats.Msg
	Owner     any    // of the Message; nil if it came by Publish
	Sequence  uint64 // in the stream; of the original for a duplicate
	Duplicate bool   // the stream already had the message's id
	Resent    bool   // it was sent more than once, so Duplicate may refer to our own repetition
	Accepted  time.Time
	Sent      time.Time // last sending
}

// Stats is a snapshot of a Publisher's counters and state.
type Stats struct {
	Acked      uint64 // messages acknowledged, duplicates included
	Duplicates uint64 // of these, recognised by the stream on their first sending
	Resent     uint64 // repeated sendings
	Refused    uint64 // replacements by Options.Refused
	Pending    int    // accepted and not yet acknowledged
	Bytes      int    // size of the pending messages
	Sequence   uint64 // last known sequence of the stream
	Err        error  // why publishing is paused; nil while it is not
}

// Publisher publishes messages in order. Publish and Offer accept messages; Run sends them.
// All methods but Run are safe for concurrent use.
type Publisher struct {
	js   jetstream.JetStream
	opt  Options
	wake chan struct{} // to Run: there is something to send again
	room chan struct{} // to Publish: something was acknowledged
	done chan struct{} // closed when Run has ended

	mu    sync.Mutex // never held while sending or calling a function of Options
	queue queue
	idle  chan struct{} // closed once nothing is pending; nil if nobody waits
	stats Stats
}

// New returns a Publisher for a stream of js, possibly in another JetStream domain. Nothing is
// sent before Run.
func New(js jetstream.JetStream, opt Options) *Publisher {
	opt.Window = cmp.Or(opt.Window, 1024)
	opt.MaxPending = max(cmp.Or(opt.MaxPending, 4096), opt.Window)
	opt.MaxPendingBytes = cmp.Or(opt.MaxPendingBytes, 32<<20)
	opt.AckWait = cmp.Or(opt.AckWait, 5*time.Second)
	return &Publisher{
		js:    js,
		opt:   opt,
		wake:  make(chan struct{}, 1),
		room:  make(chan struct{}, 1),
		done:  make(chan struct{}),
		queue: newQueue(),
		stats: Stats{Sequence: opt.After},
	}
}

// Publish accepts a message, which must not be changed afterwards. It blocks
// while the bounds of Options are reached, which is back-pressure. It does not
// wait for the acknowledgement. An error, the context's cause or ErrClosed,
// means that the message was not accepted.
func (p *Publisher) Publish(ctx context.Context, msg *nats.Msg) error {
	for !p.Offer(Message{Msg: msg}) {
		select {
		case <-p.room:
		case <-p.done:
			return ErrClosed
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Offer is Publish without blocking: it reports whether the message was accepted. It never is
// once Run has ended.
func (p *Publisher) Offer(m Message) bool {
	e := entry{msg: m.Msg, owner: m.Owner, size: m.Size, accepted: time.Now()}
	if e.size == 0 {
		e.size = Size(m.Msg)
	}
	if !m.Sent.IsZero() {
		e.sends, e.first, e.after = 1, m.Sent, m.After
	}
	return p.accept(e)
}

// Room returns a channel that gets a value when there is room again after Offer found none.
// The receiver should call Offer until there is no more room.
func (p *Publisher) Room() <-chan struct{} { return p.room }

func (p *Publisher) accept(e entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return false
	default:
	}
	if p.stats.Pending > 0 && !p.fits(e.size) {
		return false
	}
	if p.queue.next == p.queue.tail {
		signal(p.wake) // otherwise Run already knows that there is something to send
	}
	p.queue.push(e)
	p.stats.Pending++
	p.stats.Bytes += e.size
	if p.fits(0) {
		signal(p.room) // for the next waiter
	}
	return true
}

func (p *Publisher) fits(size int) bool {
	return p.stats.Pending < p.opt.MaxPending && p.stats.Bytes+size <= p.opt.MaxPendingBytes
}

// Unacked calls each with every message that is accepted and not acknowledged, oldest
// first, until it returns false. As in Offer, a Sent that is not zero means that the message
// may have been sent, and so may be stored. A message is no longer among them by the time
// Acked is called with it. The Publisher is locked meanwhile: each must not block or call
// its methods.
func (p *Publisher) Unacked(each func(m Message) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := &p.queue
	for n := q.head; n < q.tail; n++ {
		e := q.at(n)
		if !e.acked && !each(Message{Msg: e.msg, Owner: e.owner, Size: e.size, Sent: e.first, After: e.after}) {
			return
		}
	}
}

// Flush waits until everything is stored that was accepted before and during the
// wait. It returns the context's cause if the context ends first, or ErrClosed if
// Run does.
func (p *Publisher) Flush(ctx context.Context) error {
	p.mu.Lock()
	if p.stats.Pending == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	p.mu.Unlock()

	select {
	case <-idle:
		return nil
	case <-p.done:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stats returns the present counters. It is safe for concurrent use.
func (p *Publisher) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Size is roughly what a message takes in memory, in bytes. It is cheaper than
// [nats.Msg.Size], which encodes the headers.
func Size(msg *nats.Msg) int {
	size := len(msg.Subject) + len(msg.Data)
	for key, values := range msg.Header {
		size += len(key)
		for _, value := range values {
			size += len(value)
		}
	}
	return size
}

// signal fills a channel of capacity one, unless it is full.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
