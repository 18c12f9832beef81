// Package outbox is the one way of all messages of a process into the stream.
//
//	            direct
//	Line ----------------------> publisher ---> stream
//	  |                             ^
//	  |  spooling                   |  oldest first
//	  +------> waiting ---> disk ---+
//
// As long as all goes well a message goes straight to the publisher, and nothing
// is written to disk. On the first sign of trouble what the publisher has is copied to
// the disk, and what comes is written there too, behind it. When NATS takes messages
// again, the disk is read in order while new messages are written behind; once it
// has been read to its end, the direct way is open again.
//
//	          publishing paused, or the oldest message waits too long
//	direct ---------------------------------------------------------> spooling
//	   ^                                                                  |
//	   +------------------------------------------------------------------+
//	          all on disk is read, nothing waits, publishing goes on
//
// What always holds:
//
//   - The order of all messages is: at the publisher, on disk and unread, waiting.
//   - A message is safe once it is stored in the stream or has a record on disk. A
//     record is removed once its message is stored.
//   - What the publisher has and has a record too is not read again, but for what an
//     earlier process has left and was found late: then its id settles it.
//   - The disk is closed, open or read-only; who uses it asks for it each time, and an
//     error leads to closed, from where it is tried again after a pause.
//   - What a process leaves on disk, it or the next one publishes first. A message may
//     be sent twice then, under the same id, and is looked up if the stream may have
//     forgotten that.
//   - If the disk cannot be used, or is full, messages wait in memory, within its
//     bounds. At the bounds Publish waits: nothing is dropped.
package outbox

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/publisher"
)

const (
	// stallAfter is how long the oldest message may wait for its
	// acknowledgement before all are taken to disk.
	stallAfter = 500 * time.Millisecond
	// checkPeriod is how often that is looked at.
	checkPeriod = 100 * time.Millisecond
	// What waits for the disk, or, without one, for NATS, is bounded.
	maxBacklog      = 2048
	maxBacklogBytes = 16 << 20
)

// Options of an Outbox.
type Options struct {
	Stream          string        // that is published to
	DuplicateWindow time.Duration // of the stream
	After           uint64        // its last sequence, or an older one
	// Refused is as in publisher.Options.
	Refused func(msg *nats.Msg, err error) *nats.Msg

	SpoolDir string // folder of the spool, which is made and locked; empty: there is no disk
	SpoolMax int64  // its bound in bytes
	// AroundDisk is spool.Folder's Around: a test makes the disk fail by it.
	AroundDisk func(operation string, do func() error) error

	// The next two must not block, nor call the Outbox, and may be nil. Replayed is told
	// of each message that another process has left, when it is read from the spool.
	// Damaged is told what in the spool was lost.
	Replayed func(msg *nats.Msg)
	Damaged  func(what string)
	// Tick is called about ten times a second as long as Run's own loop runs; may be
	// nil.
	Tick func()
	// Published is told how long NATS took for each message, from its getting it to
	// its acknowledgement; may be nil.
	Published func(took time.Duration)
	Log       zerolog.Logger
}

// Stats is a snapshot.
type Stats struct {
	Publisher publisher.Stats
	Direct    bool
	Backlog   int    // messages that wait for the disk
	Spooled   int    // messages on disk; some may be stored in the stream already
	Bytes     uint64 // of the spool
	SpoolErr  error  // why the disk cannot be used, as far as known

	Oldest  time.Time // when the oldest message that is not stored was accepted; zero: all are
	Since   time.Time // of Direct, or of its end
	Trouble error     // why publishing pauses, or nil
}

// Outbox publishes the messages of all its Lines. Run does the work.
type Outbox struct {
	opt  Options
	pub  *publisher.Publisher
	wake chan struct{} // to the loop
	done chan struct{} // closed when Run has ended

	known chan struct{} // closed when it is known what an earlier process has left, or given up

	disk disk // the loop's

	mu           sync.Mutex
	lines        map[lineKey]*Line
	direct       bool      // else spooling
	since        time.Time // of direct, or of its end
	closed       bool
	changed      chan struct{} // closed when who waits for room should try again
	callers      int           // that wait for that
	records      records       // on disk
	waiting      fifo[*entry]  // for the disk, or for the publisher
	waitingBytes int
	spoolErr     error
	trouble      error         // why publishing pauses
	newest       []nats.Header // of the last message of each subscription that an earlier process has left
	sequence     uint64        // of the stream, the last one acknowledged
}

// entry is a message in memory, from its acceptance, or its being read from disk, to
// its acknowledgement, or its being written to disk with nobody to publish it from here.
type entry struct {
	msg      *nats.Msg
	line     *Line // nil: of a process or a term that has ended
	times    Times
	size     int
	accepted time.Time
	offered  time.Time // to the publisher; zero: not yet
	after    uint64    // the stream's last sequence before that
	record   uint64    // its number on disk; 0: it is not there
	stored   bool      // in the stream
}

// records are the numbers of what is on disk. Those up to removed are gone; those up
// to before next are at the publisher, or stored; the rest, up to last, is to be read.
type records struct {
	removed, next, last uint64
	doubtful            uint64 // up to here they may have been sent before they were written, or by another process
	copies              span   // of what the publisher has or had, and that are to be read all the same
	bytes               uint64
}

// span is some consecutive records; zero: none.
type span struct{ from, through uint64 }

func (s span) has(record uint64) bool { return s.from <= record && record <= s.through }

// unread reports whether something on disk is to be published yet, which comes before
// what waits in memory.
func (r *records) unread() bool { return r.next <= r.last }

// New returns an Outbox. It does nothing before Run.
func New(js jetstream.JetStream, opt Options) *Outbox {
	if opt.Replayed == nil {
		opt.Replayed = func(*nats.Msg) {}
	}
	if opt.Damaged == nil {
		opt.Damaged = func(string) {}
	}
	o := &Outbox{
		opt: opt, wake: make(chan struct{}, 1), done: make(chan struct{}), known: make(chan struct{}), lines: make(map[lineKey]*Line),
		changed: make(chan struct{}), records: records{next: 1}, sequence: opt.After, since: time.Now(),
	}
	switch {
	case opt.SpoolDir == "":
		o.disk.leftover = leftoverKnown
	case !o.lockSpool():
		o.disk.leftover = leftoverGivenUp
	case !o.disk.folder.Used():
		o.disk.leftover = leftoverKnown
	}
	o.direct = o.disk.leftover != leftoverUnknown
	o.pub = publisher.New(js, publisher.Options{
		Stream: opt.Stream, DuplicateWindow: opt.DuplicateWindow, After: opt.After,
		Acked: o.acked, Refused: opt.Refused, Changed: o.publisherChanged,
	})
	return o
}

// Run publishes until the context ends; call it once. What is not in the stream
// by then stays where it is: call Drain before. When the connection to NATS is
// closed for good it goes on diskBatch to disk; the error is returned in the end.
func (o *Outbox) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer o.unlockSpool()
	defer o.refuse()
	var moving sync.WaitGroup
	defer moving.Wait()
	defer stop()
	moving.Go(func() { o.loop(ctx) })
	err := o.pub.Run(ctx)
	if err != nil {
		o.publisherChanged(err)
		<-ctx.Done()
	}
	return err
}

// refuse refuses what comes from now on.
func (o *Outbox) refuse() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	close(o.done)
}

// Stats is safe for concurrent use.
func (o *Outbox) Stats() Stats {
	st := o.pub.Stats()
	o.mu.Lock()
	defer o.mu.Unlock()
	return Stats{
		Publisher: st, Direct: o.direct, Backlog: o.waiting.len(), Spooled: int(o.records.last - o.records.removed), Bytes: o.records.bytes, SpoolErr: o.spoolErr,
		Oldest: o.oldest(), Since: o.since, Trouble: o.trouble,
	}
}

// oldest is when the oldest message that is not stored was accepted. The caller
// holds o.mu.
func (o *Outbox) oldest() (at time.Time) {
	if o.waiting.len() > 0 {
		at = o.waiting.front().accepted
	}
	o.unacked(func(e *entry) bool {
		at = e.accepted
		return false
	})
	return at
}

// unacked calls each with what the publisher has, oldest first, until it returns false.
// The caller holds o.mu.
func (o *Outbox) unacked(each func(*entry) bool) {
	o.pub.Unacked(func(m publisher.Message) bool { return each(m.Owner.(*entry)) })
}

// publish hands a message over, waiting for room.
func (o *Outbox) publish(ctx context.Context, e *entry) error {
	for {
		accepted, room, changed := o.accept(e)
		if accepted {
			return nil
		}
		var err error
		select {
		case <-room:
		case <-changed:
		case <-o.done:
			err = publisher.ErrClosed
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		o.mu.Lock()
		o.callers--
		o.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// accept takes a message, or tells what to wait for; then it counts the caller as
// waiting.
func (o *Outbox) accept(e *entry) (accepted bool, room, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		o.callers++
		return false, nil, nil
	case o.direct && !o.offer(e, time.Time{}):
		o.callers++
		return false, o.pub.Room(), o.changed
	case !o.direct && o.waiting.len() > 0 && (o.waiting.len() >= maxBacklog || o.waitingBytes+e.size > maxBacklogBytes):
		o.callers++
		return false, nil, o.changed
	case !o.direct:
		o.enqueue(e)
	}
	if e.line != nil {
		e.line.pending++
		e.line.unsafe++
	}
	return true, nil, nil
}

// TryPublish hands over a message of the process's own, also beyond the bounds of what
// may wait. It reports whether there was room for it; it does not wait.
func (o *Outbox) TryPublish(msg *nats.Msg) bool {
	e := &entry{msg: msg, size: publisher.Size(msg)}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.direct {
		return o.offer(e, time.Time{})
	}
	o.enqueue(e)
	return true
}

// enqueue has a message wait behind all others. The caller holds o.mu.
func (o *Outbox) enqueue(e *entry) {
	e.after, e.accepted = o.sequence, time.Now()
	o.waiting.push(e)
	o.waitingBytes += e.size
	signal(o.wake)
}

// dequeue takes out the message that waits longest. The caller holds o.mu.
func (o *Outbox) dequeue() *entry {
	e := o.waiting.pop()
	o.waitingBytes -= e.size
	return e
}

// offer hands a message to the publisher if there is room. sent is when it may
// have been sent before. The caller holds o.mu.
func (o *Outbox) offer(e *entry, sent time.Time) bool {
	if sent.IsZero() && e.record == 0 {
		e.after = o.sequence
	}
	e.offered = time.Now()
	if e.accepted.IsZero() {
		e.accepted = e.offered
	}
	return o.pub.Offer(publisher.Message{Msg: e.msg, Owner: e, Size: e.size, Sent: sent, After: e.after})
}

// acked is told of each stored message.
func (o *Outbox) acked(ack publisher.Ack) {
	o.mu.Lock()
	e := ack.Owner.(*entry)
	e.stored = true
	if !ack.Duplicate {
		o.sequence = ack.Sequence // lower than before if the stream was created again
	}
	if e.line != nil {
		e.line.noteStored(ack, e.record > 0)
	}
	o.mu.Unlock()
	now := time.Now()
	if o.opt.Published != nil {
		o.opt.Published(now.Sub(e.offered))
	}
	if e.line != nil && e.line.stored != nil {
		e.line.stored(Stored{Ack: ack, Times: e.times, At: now})
	}
}

// publisherChanged is told why publishing pauses, and with nil when it goes on.
func (o *Outbox) publisherChanged(err error) {
	o.mu.Lock()
	o.trouble = err
	o.mu.Unlock()
	signal(o.wake)
	if err != nil {
		o.opt.Log.Warn().Str("code", "publish.paused").Err(err).Msg("publishing paused; received events are held and repeated in order")
		return
	}
	o.opt.Log.Info().Str("code", "publish.resumed").Msg("publishing resumed")
}

// notify has all who wait for room try again. The caller holds o.mu.
func (o *Outbox) notify() {
	if o.callers > 0 {
		close(o.changed)
		o.changed = make(chan struct{})
	}
}

// errNotStored says what is still in memory only.
var errNotStored = errors.New("neither stored in NATS nor on disk")

// unsafeReason is the reason that messages are not stored.
func (o *Outbox) unsafeReason() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return errors.Join(cmp.Or(o.trouble, errNotStored), o.spoolErr)
}

// signal fills a channel of capacity one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
