// Package publisher publishes messages to NATS JetStream pipelined, in order,
// and accounts for every acknowledgement.
//
// A [Publisher] keeps a window of messages in flight. As long as all goes well
// it sends each message as it comes. On the first sign of trouble (no responder,
// an error answer, a lost connection, an acknowledgement that stays away or that a
// later one overtakes) it pauses, probes with the oldest unacknowledged message and,
// once that one is acknowledged, sends the rest again in their order:
//
//	       error, disconnect, ack time-out or overtaken
//	open ---------------------------------> probing (window 1, back-off 250 ms to 2 s)
//	  ^                                         |
//	  +-----------------------------------------+
//	       oldest message acknowledged
//
// A message has one place, in one queue, from its acceptance to its acknowledgement:
//
//	stored <--- [ in flight | to be sent ] <--- Publish, Offer
//	          oldest        |           newest
//	                        +--> sent; a pause takes this mark back to the oldest
//
// So the following holds:
//
//   - What is accepted and not acknowledged is in the queue, and [Publisher.Unacked]
//     shows it. It leaves by an acknowledgement or a look-up, and by nothing else.
//   - Messages are sent in the order in which they were accepted, also when they are
//     sent again.
//   - A message is noted as sent before it is, never after.
//   - Bounds of [Options] hold for the queue as a whole.
//
// Order survives whatever hits the connection, the server or the stream, but for a
// message that is refused or dropped alone while its successors in flight are stored:
// it is stored after those, at most a window of them.
//
// A message accepted by [Publisher.Publish] is never dropped. It may be sent
// more than once, so each one should carry a Nats-Msg-Id by which the stream
// recognises the repetition
// (https://docs.nats.io/nats-concepts/jetstream/streams#message-deduplication).
// When the stream may have forgotten it, the message is looked up first.
//
// The connection should have nats.ReconnectBufSize(-1): the client's own buffer
// would send old messages behind the publisher's back after a reconnect.
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
	// stream, which holds the subject by mistake, pauses publishing. Empty:
	// any stream will do.
	Stream string
	// DuplicateWindow is the stream's. A message that was sent and not
	// acknowledged for nearly so long may be stored and its id forgotten, so
	// it is looked up in Stream before it is sent again. 0: never. After is
	// where such a look begins at the earliest: the stream's last sequence
	// when the publisher was made.
	DuplicateWindow time.Duration
	After           uint64
	// Window is the number of messages in flight, 1024 by default.
	Window int
	// MaxPending and MaxPendingBytes bound what Publish accepts before it
	// blocks: 4096 messages and 32 MiB by default. A single larger message is
	// accepted when nothing else is pending.
	MaxPending      int
	MaxPendingBytes int
	// AckWait is how long an acknowledgement may take, 5 s by default; while
	// others keep coming in order, longer.
	AckWait time.Duration

	// The functions below are called by Run's goroutine and must not block.

	// Acked is told of each stored message.
	Acked func(Ack)
	// Refused is asked for a replacement of a message that can never be stored
	// as it is (too large, for example). The replacement takes its place in
	// the order; if it is refused too, Refused is asked once more. Without
	// one, the message is tried again for ever.
	Refused func(msg *nats.Msg, err error) *nats.Msg
	// Changed is told why publishing pauses, and with nil when it goes on.
	Changed func(err error)
}

// Message is what Offer accepts.
type Message struct {
	Msg   *nats.Msg
	Owner any // what the caller knows it by; handed back with the acknowledgement
	Size  int // of Msg, as the function Size has it, if the caller knows; 0: it is asked
	// Sent is when the message may have been sent before, by a process that
	// has ended; zero: never. After is the stream's last sequence then, or an
	// older one.
	Sent  time.Time
	After uint64
}

// Ack tells that a message is stored.
type Ack struct {
	Msg       *nats.Msg
	Owner     any    // of the Message; nil if it came by Publish
	Sequence  uint64 // in the stream; of the original for a duplicate
	Duplicate bool   // the stream had the message's id already
	Resent    bool   // it was sent more than once, so Duplicate may speak of our own repetition
	Accepted  time.Time
	Sent      time.Time // last sending
}

// Stats is a snapshot of a Publisher's counters and state.
type Stats struct {
	Acked      uint64 // messages acknowledged, duplicates included
	Duplicates uint64 // of these, recognised by the stream on their first sending
	Resent     uint64 // repeated sendings
	Refused    uint64 // messages replaced by Options.Refused
	Pending    int    // accepted and not yet acknowledged
	Bytes      int    // size of the pending messages
	Sequence   uint64 // of the stream, the last one known
	Err        error  // why publishing is paused; nil while it is open
}

// Publisher publishes in order. Run does the work; Publish hands it messages.
type Publisher struct {
	js   jetstream.JetStream
	opt  Options
	wake chan struct{} // to Run: there is something to send again
	room chan struct{} // to Publish: something was acknowledged
	done chan struct{} // closed when Run has ended

	mu    sync.Mutex // never held while something is sent or a function of Options is called
	queue queue
	idle  chan struct{} // closed when nothing is pending any more; nil if nobody waits
	stats Stats
}

// New returns a Publisher for a stream of js, which may be one in another domain. It does
// nothing before Run.
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

// Publish accepts a message, which must not be changed afterwards. It waits
// while the bounds of Options are reached, which is back-pressure, and returns
// the context's error, or ErrClosed, only if the message was not accepted.
// Messages are sent in the order in which they are accepted.
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

// Offer is Publish without waiting: it reports whether the message was accepted.
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

// Room gets a value when there is room again after Offer has found none. Whoever
// takes it should offer until there is none.
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
		signal(p.wake) // else Run knows that there is something to send
	}
	p.queue.push(e)
	p.stats.Pending++
	p.stats.Bytes += e.size
	if p.fits(0) {
		signal(p.room) // for the next one who waits
	}
	return true
}

func (p *Publisher) fits(size int) bool {
	return p.stats.Pending < p.opt.MaxPending && p.stats.Bytes+size <= p.opt.MaxPendingBytes
}

// Unacked calls each with the messages that are accepted and not acknowledged, oldest
// first, until it returns false. Sent and After tell of each whether it may have been
// sent, and so may be stored, as Offer has it. A message is no more among them when
// Acked is told of it. The Publisher stands still meanwhile: each must not block, nor
// call it.
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

// Flush waits until everything accepted so far, and meanwhile, is stored. It
// returns the context's error, or ErrClosed when Run has ended before.
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

// Stats returns the present counters. It may be called at any time.
func (p *Publisher) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Size is about what a message takes in memory. (Its own Size encodes the
// headers.)
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

// signal fills a channel of capacity one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
