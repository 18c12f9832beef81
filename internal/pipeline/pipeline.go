// Package pipeline is the one way of all messages of a process into the stream.
//
//	              direct
//	Line ---------------------------> publisher ---> stream
//	  |                                   ^
//	  |  NATS is away, refuses or stalls  |  in order, oldest first
//	  +---> backlog ---> spool (disk) ----+
//
// As long as all goes well a message goes straight to the publisher, and nothing
// is written to disk. On the first sign of trouble what is unacknowledged is
// copied to the spool, and what comes is written there too, behind it. When NATS
// takes messages again, the spool is read back in order while new messages queue
// up behind; once it has been read to its end, the direct way is open again.
//
//	        publishing paused, or the oldest message waits too long
//	direct --------------------------------------------------------> spooling
//	   ^                                                                 |
//	   +-----------------------------------------------------------------+
//	        nothing waits on disk or in the backlog, publishing goes on
//
// The order of all messages is that in which they were accepted: those at the
// publisher, then those on disk, then those in the backlog.
//
// What a process leaves in the spool, it or the next one publishes first. A
// message may be sent twice then, under the same id.
//
// If the disk cannot be used, or is full, the pipeline goes on in memory, within
// its bounds. At the bounds Publish waits: nothing is dropped.
package pipeline

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/publisher"
)

const (
	// stallAfter is how long the oldest message may wait for its
	// acknowledgement before all are taken to disk.
	stallAfter = 500 * time.Millisecond
	// checkPeriod is how often that is looked at.
	checkPeriod = 100 * time.Millisecond
	// The backlog is what waits for the disk, or, without one, for NATS.
	maxBacklog      = 2048
	maxBacklogBytes = 16 << 20
)

// Options of a Pipeline.
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

	// Alarm makes the message that raises or clears an alarm; nil: there are none.
	Alarm func(name string, raised bool, detail string) *nats.Msg
	// Inherited reads a message that an earlier run has left in the spool: whether it
	// raises or clears an alarm of a whole replica. nil: as if none did.
	Inherited func(msg *nats.Msg) (a Inherited, ok bool)
	// Tick is called about ten times a second as long as Run's own loop runs; may be
	// nil.
	Tick func()
	// Published is told how long NATS took for each message, from its getting it to
	// its acknowledgement; may be nil.
	Published func(took time.Duration)
	Log       zerolog.Logger
}

// Inherited is an alarm that an earlier run has raised or cleared.
type Inherited struct {
	Alarm  string
	Of     string // replica
	Raised bool
	// Clear is the message that clears it; nil: it is of a replica of this one's name,
	// which goes on with it.
	Clear *nats.Msg
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

// Pipeline publishes the messages of all its Lines. Run does the work.
type Pipeline struct {
	opt  Options
	pub  *publisher.Publisher
	wake chan struct{} // to the mover
	done chan struct{} // closed when Run has ended

	looked chan struct{} // closed when it is known what an earlier process has left

	disk   disk            // the mover's, like the next two
	alarms map[string]bool // that are raised
	damage string          // on disk, of which nobody is told

	mu           sync.Mutex
	lines        map[lineKey]*Line
	direct       bool
	closed       bool
	newest       []nats.Header // of the last message of each subscription that an earlier process has left
	changed      chan struct{} // closed when who waits for room should try again
	waiting      int           // for that
	flight       fifo[item]    // at the publisher, by their tags
	unsaved      uint64        // tag before which all in flight is on disk, or was looked at
	backlog      fifo[item]
	backlogBytes int
	next, last   uint64          // of the spool: next to be read, newest; equal to last+1: all is read
	passed       map[uint64]bool // records that are not to be read, since their messages are here
	removed      uint64          // up to here the spool is empty
	bytes        uint64          // of the spool
	spoolErr     error
	trouble      error                // why publishing pauses
	inherited    map[string]Inherited // alarms that earlier runs have raised, of which tell has not heard
	sequence     uint64               // of the stream, the last one acknowledged
	since        time.Time            // of direct, or of its end
}

// item is a message on its way.
type item struct {
	msg      *nats.Msg
	line     *Line // nil: of a process or a term that has ended
	note     Note
	size     int
	accepted time.Time // when it was
	since    time.Time // it has been at the publisher
	after    uint64    // the stream's last sequence before that
	sequence uint64    // in the spool; 0: it is not there
	done     bool
}

// New returns a Pipeline. It does nothing before Run.
func New(nc *nats.Conn, opt Options) *Pipeline {
	p := &Pipeline{
		opt: opt, wake: make(chan struct{}, 1), done: make(chan struct{}), looked: make(chan struct{}), lines: make(map[lineKey]*Line),
		changed: make(chan struct{}), next: 1, sequence: opt.After, since: time.Now(), alarms: make(map[string]bool), passed: make(map[uint64]bool), inherited: make(map[string]Inherited),
	}
	if p.lockSpool() {
		p.disk.begun = !p.disk.folder.Used()
	} else {
		p.disk.begun, p.disk.tries = opt.SpoolDir == "", patience
	}
	p.direct = !p.disk.waits()
	p.pub = publisher.New(nc, publisher.Options{
		Stream: opt.Stream, DuplicateWindow: opt.DuplicateWindow, After: opt.After,
		Acked: p.acked, Refused: opt.Refused, Changed: p.publishing,
	})
	return p
}

// Run publishes until the context ends; call it once. What is not in the stream
// by then stays where it is: call Finish before. When the connection to NATS is
// closed for good it goes on writing to disk; the error is returned in the end.
func (p *Pipeline) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer p.unlockSpool()
	defer p.close()
	var moving sync.WaitGroup
	defer moving.Wait()
	defer stop()
	moving.Go(func() { p.move(ctx) })
	err := p.pub.Run(ctx)
	if err != nil {
		p.publishing(err)
		<-ctx.Done()
	}
	return err
}

// close refuses what comes from now on.
func (p *Pipeline) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	close(p.done)
}

// Stats may be called at any time.
func (p *Pipeline) Stats() Stats {
	st := p.pub.Stats()
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{
		Publisher: st, Direct: p.direct, Backlog: p.backlog.len(), Spooled: int(p.last - p.removed), Bytes: p.bytes, SpoolErr: p.spoolErr,
		Oldest: p.oldest(), Since: p.since, Trouble: p.trouble,
	}
}

// oldest is when the oldest message that is not stored was accepted. The caller
// holds p.mu.
func (p *Pipeline) oldest() (at time.Time) {
	switch {
	case p.flight.len() > 0:
		at = p.flight.front().accepted
	case p.backlog.len() > 0:
		at = p.backlog.front().accepted
	}
	return at
}

// put hands a message over, waiting for room.
func (p *Pipeline) put(ctx context.Context, it item) error {
	for {
		accepted, room, changed := p.accept(it)
		if accepted {
			return nil
		}
		var err error
		select {
		case <-room:
		case <-changed:
		case <-p.done:
			err = publisher.ErrClosed
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		p.mu.Lock()
		p.waiting--
		p.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// Insert hands over a message of the process's own, also beyond the bounds of the
// backlog. It reports whether there was room for it; it does not wait.
func (p *Pipeline) Insert(msg *nats.Msg) bool {
	it := item{msg: msg, size: publisher.Size(msg)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.direct {
		return p.offer(it, time.Time{})
	}
	p.enqueue(it)
	return true
}

// enqueue adds a message to the backlog. The caller holds p.mu.
func (p *Pipeline) enqueue(it item) {
	it.after, it.accepted = p.sequence, time.Now()
	p.backlog.push(it)
	p.backlogBytes += it.size
	signal(p.wake)
}

// accept takes a message, or tells what to wait for; then it counts the caller as
// waiting.
func (p *Pipeline) accept(it item) (accepted bool, room, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.waiting++
		return false, nil, nil
	}
	if p.direct {
		if !p.offer(it, time.Time{}) {
			p.waiting++
			return false, p.pub.Room(), p.changed
		}
	} else {
		if n := p.backlog.len(); n > 0 && (n >= maxBacklog || p.backlogBytes+it.size > maxBacklogBytes) {
			p.waiting++
			return false, nil, p.changed
		}
		p.enqueue(it)
	}
	if it.line != nil {
		it.line.pending++
		it.line.unsafe++
	}
	return true, nil, nil
}

// offer hands a message to the publisher if there is room. sent is when it may
// have been sent before. The caller holds p.mu.
func (p *Pipeline) offer(it item, sent time.Time) bool {
	if sent.IsZero() && it.sequence == 0 {
		it.after = p.sequence
	}
	it.since = time.Now()
	if it.accepted.IsZero() {
		it.accepted = it.since
	}
	if !p.pub.Offer(publisher.Message{Msg: it.msg, Tag: p.flight.end(), Sent: sent, After: it.after}) {
		return false
	}
	p.flight.push(it)
	return true
}

// acked is told of each stored message.
func (p *Pipeline) acked(ack publisher.Ack) {
	p.mu.Lock()
	it := p.flight.at(ack.Tag)
	it.done = true
	line, saved, since, note := it.line, it.sequence > 0, it.since, it.note
	it.line, it.msg = nil, nil
	for p.flight.len() > 0 && p.flight.front().done {
		p.flight.pop()
	}
	if !ack.Duplicate {
		p.sequence = ack.Sequence // lower than before if the stream was created again
	}
	if line != nil {
		line.settle(ack, saved)
	}
	p.mu.Unlock()
	now := time.Now()
	if p.opt.Published != nil {
		p.opt.Published(now.Sub(since))
	}
	if line != nil && line.stored != nil {
		line.stored(Stored{Ack: ack, Note: note, At: now})
	}
}

// publishing is told why publishing pauses, and with nil when it goes on.
func (p *Pipeline) publishing(err error) {
	p.mu.Lock()
	p.trouble = err
	p.mu.Unlock()
	signal(p.wake)
	if err != nil {
		p.opt.Log.Warn().Str("code", "publish.paused").Err(err).Msg("publishing paused; received events are held and repeated in order")
		return
	}
	p.opt.Log.Info().Str("code", "publish.resumed").Msg("publishing resumed")
}

// notify has all who wait for room try again. The caller holds p.mu.
func (p *Pipeline) notify() {
	if p.waiting > 0 {
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// errNotStored says what is still in memory only.
var errNotStored = errors.New("neither stored in NATS nor on disk")

// why is the reason that messages are not stored.
func (p *Pipeline) why() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(cmp.Or(p.trouble, errNotStored), p.spoolErr)
}

// signal fills a channel of capacity one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
