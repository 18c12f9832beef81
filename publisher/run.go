package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// sender is the state of one Run; only Run's goroutine touches it.
type sender struct {
	*Publisher
	prefix    string           // of the reply subjects
	domain    string           // of the stream; empty: the server's own
	refusals  map[uint64]error // of this round, by number; only if domain is set: see hold
	round     uint64           // grows with every rewind
	probing   bool             // one message at a time until one is stored
	notBefore time.Time        // while probing: the next attempt
	waiting   time.Time        // since when the oldest message has waited for its answer as the oldest
	lastSeq   uint64           // of the stream, as far as known
	newest    uint64           // the highest number stored in this round
	pause     *backoff.ExponentialBackOff
	seen      seen
	due       time.Time // when Run's timer fires; zero: it is not set

	// Work in progress, in memory that is reused.
	batch   []sending
	answers []answer
	stored  []Ack // not settled yet
	reply   []byte
}

// Run publishes until the context ends; call it once. It starts no goroutine.
// It does not wait for outstanding acknowledgements at the end: call Flush before.
// It returns an error only if it cannot subscribe to the acknowledgements, or if
// the connection is closed.
func (p *Publisher) Run(ctx context.Context) error {
	defer p.close()
	nc := p.js.Conn()
	s := newSender(p, nc.NewInbox())
	s.domain = p.js.Options().Domain

	acks := make(chan *nats.Msg, 4*p.opt.Window)
	sub, err := nc.ChanSubscribe(s.prefix+"*.*", acks)
	if err != nil {
		return fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only on a closed connection
	status := nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	defer nc.RemoveStatusListener(status)
	timer := time.NewTimer(p.opt.AckWait)
	defer timer.Stop()

	for {
		s.send(ctx)
		s.set(timer)
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case msg := <-acks:
			s.receive(msg, acks)
		case st := <-status:
			if st == nats.CLOSED {
				return nats.ErrConnectionClosed
			}
			s.connectionChanged(st)
		case <-timer.C:
			s.due = time.Time{}
			s.checkAckWait()
		}
	}
}

func newSender(p *Publisher, inbox string) *sender {
	return &sender{Publisher: p, prefix: inbox + ".", pause: newPause(), lastSeq: p.opt.After, refusals: make(map[uint64]error)}
}

func newPause() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(250*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second),
		backoff.WithMaxElapsedTime(0), // never give up
	)
}

func (p *Publisher) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.done)
}

// maxBatch is how many messages are marked as sent under one lock.
const maxBatch = 64

// sending is a message that is about to be sent.
type sending struct {
	number uint64 // in the queue
	msg    *nats.Msg
}

// send sends everything that may be sent now.
func (s *sender) send(ctx context.Context) {
	if s.probing && time.Until(s.notBefore) > 0 {
		return
	}
	for {
		doubt := s.mark()
		if doubt {
			if err := s.lookUp(ctx); err != nil {
				s.failed(s.queue.next, err)
				return
			}
			continue
		}
		if len(s.batch) == 0 {
			return
		}
		for i, next := range s.batch {
			if err := s.publish(next); err != nil {
				s.unmark(s.batch[i+1:])
				s.failed(next.number, fmt.Errorf("publish to %s: %w", next.msg.Subject, err))
				return
			}
		}
	}
}

// mark takes the next messages into s.batch and marks them as sent. It does so before they
// are sent, since what Unacked shows as unsent must be unsent. It stops at a message in
// doubt, and reports whether that is the first one.
func (s *sender) mark() (doubt bool) {
	clear(s.batch)
	s.batch = s.batch[:0]
	limit := s.opt.Window
	if s.probing {
		limit = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.queue
	if q.next == q.tail || q.inFlight() >= limit {
		return false
	}
	now := time.Now()
	if q.inFlight() == 0 {
		s.waiting = now
	}
	for ; q.next < q.tail && q.inFlight() < limit && len(s.batch) < maxBatch; q.next++ {
		e := q.at(q.next)
		if e.acked {
			continue
		}
		if s.inDoubt(e, now) {
			return len(s.batch) == 0
		}
		if e.sends == 0 {
			s.seen = seen{} // no message is in doubt any more
			e.first, e.after = now, s.lastSeq
		} else {
			s.stats.Resent++
		}
		e.sends++
		e.sent = now
		s.batch = append(s.batch, sending{q.next, e.msg})
	}
	return false
}

// unmark undoes mark for messages that were not sent after all.
func (s *sender) unmark(batch []sending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, not := range batch {
		e := s.queue.at(not.number)
		e.sends--
		if e.sends == 0 {
			e.first, e.after, e.sent = time.Time{}, 0, time.Time{}
		} else {
			s.stats.Resent--
		}
	}
}

// publish sends one message. The message belongs to the caller of Publish, so publish sends
// a copy with our reply subject.
func (s *sender) publish(next sending) error {
	s.reply = appendReply(append(s.reply[:0], s.prefix...), next.number, s.round)
	msg := nats.Msg{Subject: next.msg.Subject, Reply: string(s.reply), Header: next.msg.Header, Data: next.msg.Data}
	err := s.js.Conn().PublishMsg(&msg)
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return nats.ErrDisconnected // that is what it means without a buffer
	}
	return err
}

// answer is the reply to one sending.
type answer struct {
	number, round uint64
	ack           pubAck
	err           error // why the message is not stored
}

// receive handles one answer and those that have arrived after it.
func (s *sender) receive(msg *nats.Msg, more <-chan *nats.Msg) {
	s.read(msg, more)
	proven, trouble := s.apply()
	if proven {
		s.resume()
	}
	s.settle()
	if trouble != nil {
		s.failed(trouble.number, trouble.err)
		return
	}
	s.checkOrder()
}

// read parses an answer and all that are waiting after it.
func (s *sender) read(msg *nats.Msg, more <-chan *nats.Msg) {
	s.answers = s.answers[:0]
	for {
		if number, round, ok := parseReply(s.prefix, msg.Subject); ok {
			ack, err := parseAck(msg, s.opt.Stream, s.domain)
			if !s.hold(number, err) {
				s.answers = append(s.answers, answer{number, round, ack, err})
			}
		}
		select {
		case msg = <-more:
		default:
			return
		}
	}
}

// hold keeps back an answer that may be from a stream in another domain with the same
// subjects, such as a leaf node's own. A refusal does not name its domain, so it counts only
// if no acknowledgement arrives within AckWait.
func (s *sender) hold(number uint64, err error) bool {
	if s.domain == "" || err == nil {
		return false
	}
	if _, refused := errors.AsType[*jetstream.APIError](err); refused {
		s.refusals[number] = err
		return true
	}
	return err == errElsewhere
}

// apply marks what is stored. It reports whether any answer to this round says so, and
// returns the first answer to this round that says the opposite. Answers after that one
// count as answers to an earlier round.
func (s *sender) apply() (proven bool, trouble *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.answers {
		a := &s.answers[i]
		if a.number < s.queue.head || a.number >= s.queue.tail {
			continue
		}
		e := s.queue.at(a.number)
		if e.acked {
			continue
		}
		current := a.round == s.round && trouble == nil
		if a.err != nil {
			if current {
				a.err = fmt.Errorf("publish to %s: %w", e.msg.Subject, a.err)
				trouble = a
			}
			continue
		}
		if !a.ack.Duplicate {
			s.lastSeq = a.ack.Sequence // lower than before if the stream was created again
			if current {               // a cluster acknowledges duplicates at once, ahead of what is still being stored
				s.newest = max(s.newest, a.number)
			}
		}
		proven = proven || current
		s.store(e, a.ack)
		if trouble != nil && trouble.number == a.number {
			trouble = nil // an earlier sending of it is stored
		}
	}
	return proven, trouble
}

// store marks a message as stored; settle accounts for it. The caller holds s.mu.
func (s *sender) store(e *entry, ack pubAck) {
	e.acked = true
	s.stats.Bytes -= e.size
	if ack.Duplicate && e.sends == 1 {
		s.stats.Duplicates++
	}
	s.stored = append(s.stored, Ack{
		Msg: e.msg, Owner: e.owner, Sequence: ack.Sequence, Duplicate: ack.Duplicate, Resent: e.sends > 1, Accepted: e.accepted, Sent: e.sent,
	})
}

// settle calls Acked with the stored messages, and then takes them off what is pending.
func (s *sender) settle() {
	if len(s.stored) == 0 {
		return
	}
	if s.opt.Acked != nil {
		for _, ack := range s.stored {
			s.opt.Acked(ack)
		}
	}
	if s.account(len(s.stored)) == 0 {
		s.resume() // answers to an earlier round have settled everything
	}
	clear(s.stored)
	s.stored = s.stored[:0]
}

// account takes count stored messages off what is pending, and returns how many are left.
func (s *sender) account(count int) (pending int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := s.queue.head
	s.queue.advance()
	if s.queue.head > head {
		s.waiting = time.Now()
	}
	s.stats.Acked += uint64(count)
	s.stats.Sequence = s.lastSeq
	s.stats.Pending -= count
	if s.stats.Pending == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
	signal(s.room)
	return s.stats.Pending
}

// checkOrder pauses when the oldest message was overtaken. A stream acknowledges in
// the order in which it stores, so the server has dropped that message, or its
// acknowledgement is lost; a cluster does so while it is reconfigured. Anything sent
// now would be stored ahead of it.
func (s *sender) checkOrder() {
	if s.queue.inFlight() == 0 || s.newest <= s.queue.head {
		return
	}
	s.suspend(fmt.Errorf("publish to %s: %w", s.oldest(), errOvertaken), 0)
}

var errOvertaken = errors.New("a later message is stored, but this one is not acknowledged; it is sent again, with all that follow it")

// maxReplacements is how often one message may be replaced: a replacement may
// be refused too.
const maxReplacements = 2

// failed replaces a message that can never be stored and goes on; otherwise it pauses.
func (s *sender) failed(number uint64, err error) {
	if permanent(err) && s.replace(number, err) {
		s.rewind(0)
		return
	}
	s.suspend(err, s.pause.NextBackOff())
}

// replace replaces a message by what Refused returns, and reports whether there was a
// replacement.
func (s *sender) replace(number uint64, refusal error) bool {
	s.mu.Lock()
	refused := *s.queue.at(number)
	s.mu.Unlock()
	if s.opt.Refused == nil || refused.replaced == maxReplacements {
		return false
	}
	msg := s.opt.Refused(refused.msg, refusal)
	if msg == nil {
		return false
	}
	size := Size(msg)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.queue.at(number)
	e.msg, e.size = msg, size
	e.replaced++
	s.stats.Refused++
	s.stats.Bytes += size - refused.size
	return true
}

// suspend pauses publishing; it resumes with the oldest message.
func (s *sender) suspend(err error, pause time.Duration) {
	s.rewind(pause)
	if s.paused(err) == nil && s.opt.Changed != nil {
		s.opt.Changed(err)
	}
}

// rewind starts a new round: the oldest message alone, after a pause.
func (s *sender) rewind(pause time.Duration) {
	s.mu.Lock()
	s.queue.rewind()
	s.mu.Unlock()
	s.round++
	clear(s.refusals)
	s.newest = 0
	s.probing = true
	s.notBefore = time.Now().Add(pause)
}

// resume opens the window after a message was stored.
func (s *sender) resume() {
	if !s.probing {
		return
	}
	s.probing = false
	s.pause.Reset()
	if s.paused(nil) != nil && s.opt.Changed != nil { // otherwise a message was replaced: no outage
		s.opt.Changed(nil)
	}
}

// paused records why publishing is paused, or nil if it is not, and returns the previous reason.
func (s *sender) paused(err error) (before error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.stats.Err = s.stats.Err, err
	return before
}

// oldest is the subject of the oldest message, for an error text.
func (s *sender) oldest() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.at(s.queue.head).msg.Subject
}

// connectionChanged reacts to a change of the connection. What was in flight when
// the connection ended, a probe too, may or may not be stored.
func (s *sender) connectionChanged(st nats.Status) {
	if st == nats.CONNECTED {
		s.notBefore = time.Now()
		return
	}
	if s.queue.inFlight() > 0 {
		s.failed(s.queue.head, nats.ErrDisconnected)
	}
}

// checkAckWait pauses when the oldest message has waited too long for its answer.
func (s *sender) checkAckWait() {
	if s.queue.inFlight() == 0 || time.Since(s.waiting) < s.opt.AckWait {
		return
	}
	err := s.refusals[s.queue.head]
	if err == nil {
		err = errNoAck{s.opt.AckWait}
	}
	s.failed(s.queue.head, fmt.Errorf("publish to %s: %w", s.oldest(), err))
}

type errNoAck struct{ wait time.Duration }

func (e errNoAck) Error() string {
	return fmt.Sprintf("no acknowledgement within %s (is publishing permitted, does the stream have a leader?)", e.wait)
}

// Unwrap makes the error a time-out for errors.Is.
func (e errNoAck) Unwrap() error { return nats.ErrTimeout }

func (s *sender) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.head == s.queue.tail
}

// set sets the timer to when something is due. If the timer is set to an earlier time, it
// stays: each acknowledgement moves the due time later, and setting a timer is expensive.
func (s *sender) set(timer *time.Timer) {
	due := s.waiting.Add(s.opt.AckWait)
	if s.queue.inFlight() == 0 {
		if !s.probing || s.empty() {
			return
		}
		due = s.notBefore
	}
	if s.due.IsZero() || due.Before(s.due) {
		s.due = due
		timer.Reset(time.Until(due))
	}
}
