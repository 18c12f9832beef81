// Package outbox is the one queue of all messages of a process on their way into the
// stream.
//
//	            direct
//	Line ----------------------> publisher ---> stream
//	  |                             ^
//	  |  spooling                   |  oldest first
//	  +------> waiting ---> disk ---+
//
// As long as all goes well a message goes straight to the publisher, and nothing is
// written to disk. On the first sign of trouble the publisher's messages are copied to
// disk, and new ones are written after them. When NATS accepts messages again, the disk
// is read in order while new messages are still written at its end. Once everything on
// disk has been read, messages go straight to the publisher again.
//
//	          publishing paused, or the oldest message waits too long
//	direct ---------------------------------------------------------> spooling
//	   ^                                                                  |
//	   +------------------------------------------------------------------+
//	          all on disk is read, nothing waits, publishing goes on
//
// The following always holds:
//
//   - The order of all messages is: at the publisher, on disk and unread, waiting.
//   - A message is safe once it is stored in the stream or has a record on disk. A
//     record is removed once its message is stored.
//   - A message that the publisher has is not read again from its record. The exception
//     is when what an earlier process left is found late: then the message's id settles
//     it.
//   - The disk is closed, open or read-only. Its users ask for it each time. After an
//     error it is closed or read-only, and tried again after a pause.
//   - What a process leaves on disk is published first, by it or by the next process. A
//     message may then be sent twice, under the same id. If the stream may have
//     forgotten the id, the message is looked up.
//   - If the disk cannot be used, or is full, messages wait in memory, up to its bounds.
//     At the bounds Publish blocks: nothing is dropped.
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
	// stallAfter is how long the oldest message may wait for its acknowledgement before
	// spooling begins.
	stallAfter = 500 * time.Millisecond
	// checkPeriod is how often that is checked.
	checkPeriod = 100 * time.Millisecond
	// maxBacklog messages and maxBacklogBytes may wait in memory for the disk or, without
	// one, for NATS.
	maxBacklog      = 2048
	maxBacklogBytes = 16 << 20
)

// Options of an Outbox.
type Options struct {
	Stream          string        // to publish to
	DuplicateWindow time.Duration // of the stream
	After           uint64        // the stream's last sequence, or an older one
	// Refused is that of publisher.Options.
	Refused func(msg *nats.Msg, err error) *nats.Msg

	SpoolDir string // folder of the spool, which is created and locked; empty: there is no disk
	SpoolMax int64  // maximum size of the spool in bytes
	// AroundDisk is spool.Folder's Around: tests use it to make the disk fail.
	AroundDisk func(operation string, do func() error) error

	// Replayed and Damaged must not block or call the Outbox, and may be nil. Replayed is
	// called with each message that another process left, when it is read from the spool.
	// Damaged is called with a description of what was lost in the spool.
	Replayed func(msg *nats.Msg)
	Damaged  func(what string)
	// Tick is called about ten times a second as long as Run's own loop runs; may be
	// nil.
	Tick func()
	// Published is called with the time that each message took from the publisher's
	// acceptance to the acknowledgement; may be nil.
	Published func(took time.Duration)
	Log       zerolog.Logger
}

// Stats is a snapshot of an Outbox.
type Stats struct {
	Publisher publisher.Stats
	Direct    bool   // false: spooling
	Backlog   int    // messages that wait in memory
	Spooled   int    // messages on disk; some may already be stored in the stream
	Bytes     uint64 // size of the spool
	SpoolErr  error  // why the disk cannot be used, as far as known

	Oldest  time.Time // when the oldest message in memory that is not stored was accepted; zero: there is none
	Since   time.Time // when Direct last changed
	Trouble error     // why publishing pauses, or nil
}

// Outbox publishes the messages of all its Lines. Run does the work. All methods but Run are
// safe for concurrent use.
type Outbox struct {
	opt  Options
	pub  *publisher.Publisher
	wake chan struct{} // to the loop
	done chan struct{} // closed when Run has ended

	known chan struct{} // closed when it is known what an earlier process left, or that was given up

	disk disk // only for the loop

	mu           sync.Mutex
	lines        map[lineKey]*Line
	direct       bool      // false: spooling
	since        time.Time // when direct last changed
	closed       bool
	changed      chan struct{} // closed when callers that wait for room should try again
	callers      int           // number of callers that wait for room
	records      records       // on disk
	waiting      fifo[*entry]  // for the disk, or for the publisher
	waitingBytes int
	spoolErr     error
	trouble      error         // why publishing pauses
	newest       []nats.Header // of the last message of each subscription that an earlier process left
	sequence     uint64        // of the stream, the last one acknowledged
}

// entry is a message in memory. It begins with the message's acceptance, or when it is read
// from disk. It ends with the acknowledgement, or, if the message was waiting, when it is
// written to disk.
type entry struct {
	msg      *nats.Msg
	line     *Line // nil: of this process itself, or of a process or term that has ended
	times    Times
	size     int // bytes, as in publisher.Size
	accepted time.Time
	offered  time.Time // to the publisher; zero: not yet
	after    uint64    // the stream's last sequence before that
	record   uint64    // its number on disk; 0: it is not there
	stored   bool      // in the stream
}

// records are the numbers of the records on disk. Those up to removed are gone. Those
// after it and before next are at the publisher, or stored. Those from next to last are
// yet to be read.
type records struct {
	removed, next, last uint64
	doubtful            uint64 // records up to here may have been sent before they were written, or by another process
	copies              span   // records of what the publisher has or had, which are still to be read
	bytes               uint64
}

// span is a range of consecutive records; zero: empty.
type span struct{ from, through uint64 }

func (s span) has(record uint64) bool { return s.from <= record && record <= s.through }

// unread reports whether something on disk is yet to be published. It comes before what
// waits in memory.
func (r *records) unread() bool { return r.next <= r.last }

// New returns an Outbox. It locks the spool's folder; nothing is published before Run.
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
// by then stays where it is: call Drain before. If the connection to NATS is closed
// for good, Run keeps writing to disk until the context ends, and then returns the
// error.
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

// refuse refuses all further messages.
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

// oldest is when the oldest message in memory that is not stored was accepted. The
// caller holds o.mu.
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

// unacked calls each with the publisher's unacknowledged messages, oldest first, until it
// returns false. The caller holds o.mu.
func (o *Outbox) unacked(each func(*entry) bool) {
	o.pub.Unacked(func(m publisher.Message) bool { return each(m.Owner.(*entry)) })
}

// publish accepts a message, and blocks while there is no room.
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

// accept accepts a message, or returns channels to wait for. In that case it counts the
// caller as waiting.
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

// TryPublish accepts a message of the process itself, rather than of a Line. It does not
// block, and reports whether the message was accepted. While spooling it accepts messages
// even beyond the bounds.
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

// enqueue adds a message to the end of the waiting ones. The caller holds o.mu.
func (o *Outbox) enqueue(e *entry) {
	e.after, e.accepted = o.sequence, time.Now()
	o.waiting.push(e)
	o.waitingBytes += e.size
	signal(o.wake)
}

// dequeue removes the message that has waited longest. The caller holds o.mu.
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

// acked handles an acknowledgement: it is publisher.Options.Acked.
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

// publisherChanged records why publishing pauses, or with nil that it goes on: it is
// publisher.Options.Changed.
func (o *Outbox) publisherChanged(err error) {
	o.mu.Lock()
	o.trouble = err
	o.mu.Unlock()
	signal(o.wake)
	if err != nil {
		o.opt.Log.Warn().Str("code", "publish.paused").Err(err).Msg("publishing paused; received events are held, to be sent in order")
		return
	}
	o.opt.Log.Info().Str("code", "publish.resumed").Msg("publishing resumed")
}

// notify makes all callers that wait for room try again. The caller holds o.mu.
func (o *Outbox) notify() {
	if o.callers > 0 {
		close(o.changed)
		o.changed = make(chan struct{})
	}
}

// errNotStored means that messages are only in memory.
var errNotStored = errors.New("neither stored in NATS nor on disk")

// unsafeReason is why messages are neither stored nor on disk.
func (o *Outbox) unsafeReason() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return errors.Join(cmp.Or(o.trouble, errNotStored), o.spoolErr)
}

// signal fills a channel of capacity one, unless it is full.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
