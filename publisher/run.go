package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
)

// sender is what one Run knows; only its goroutine touches it.
type sender struct {
	*Publisher
	window    *window
	inbox     string
	round     uint64    // grows with every rewind
	probing   bool      // one message at a time until one is stored
	notBefore time.Time // while probing: the next attempt
	progress  time.Time // when the oldest message was acknowledged last
	lastSeq   uint64    // of the stream, as far as known
	newest    uint64    // the highest number stored in this round
	pause     *backoff.ExponentialBackOff
	seen      seen
}

// Run publishes until the context ends; call it once. It starts no goroutine.
// What is not acknowledged by then stays so: call Flush before. The error is
// that of the subscription to the acknowledgements, or of a closed connection.
func (p *Publisher) Run(ctx context.Context) error {
	defer p.close()
	s := &sender{Publisher: p, window: newWindow(p.opt.Window), inbox: p.nc.NewInbox(), pause: newPause(), lastSeq: p.opt.After}

	acks := make(chan *nats.Msg, 4*p.opt.Window)
	sub, err := p.nc.ChanSubscribe(s.inbox+".*.*", acks)
	if err != nil {
		return fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only on a closed connection
	status := p.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	defer p.nc.RemoveStatusListener(status)
	timer := time.NewTimer(p.opt.AckWait)
	defer timer.Stop()

	for {
		s.send(ctx)
		timer.Reset(s.deadline())
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
			s.checkAckWait()
		}
	}
}

func (p *Publisher) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.done)
}

func newPause() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(250*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second),
		backoff.WithMaxElapsedTime(0), // never give up
	)
}

// send sends everything that may be sent now.
func (s *sender) send(ctx context.Context) {
	s.take()
	limit := s.opt.Window
	if s.probing {
		limit = 1
		if time.Until(s.notBefore) > 0 {
			return
		}
	}
	w := s.window
	for w.next < w.tail && w.inFlight() < limit {
		e := w.at(w.next)
		if e.acked {
			w.next++
			continue
		}
		if s.seen.ids != nil && e.sends == 0 {
			s.seen = seen{} // nothing is in doubt any more
		}
		if s.inDoubt(e) {
			if err := s.lookUp(ctx); err != nil {
				s.failed(e, err)
				return
			}
			if w.held() == 0 {
				s.resume()
			}
			continue
		}
		if e.sends == 0 {
			e.first, e.after = time.Now(), s.lastSeq
		}
		e.sends++
		if e.sends > 1 {
			s.count(func(st *Stats) { st.Resent++ })
		}
		e.sent = time.Now()
		e.msg.Reply = replySubject(s.inbox, w.next, s.round)
		w.next++
		err := s.nc.PublishMsg(e.msg)
		if errors.Is(err, nats.ErrReconnectBufExceeded) {
			err = nats.ErrDisconnected // what it means without a buffer
		}
		if err != nil {
			s.failed(e, fmt.Errorf("publish to %s: %w", e.msg.Subject, err))
			return
		}
	}
}

// take moves accepted messages into the window.
func (s *sender) take() {
	free := s.opt.Window - s.window.held()
	if free <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; free > 0 && s.taken < len(s.queue); free-- {
		s.window.push(s.queue[s.taken])
		s.queue[s.taken] = entry{}
		s.taken++
	}
	if s.taken >= len(s.queue)/2 { // or it would grow while it is never empty
		n := copy(s.queue, s.queue[s.taken:])
		clear(s.queue[n:])
		s.queue, s.taken = s.queue[:n], 0
	}
}

// receive handles one answer, and those that have already come behind it.
func (s *sender) receive(msg *nats.Msg, more <-chan *nats.Msg) {
	var count, bytes, duplicates int
	for {
		if e, duplicate := s.answer(msg); e != nil {
			count++
			bytes += e.size
			if duplicate {
				duplicates++
			}
		}
		select {
		case msg = <-more:
			continue
		default:
		}
		break
	}
	if head := s.window.head; s.window.advance() > head {
		s.progress = time.Now()
	}
	if s.window.held() == 0 {
		s.resume() // answers to an earlier round may have settled all
	}
	if count > 0 {
		s.settle(count, bytes, duplicates, s.lastSeq)
	}
	s.checkOrder()
}

// checkOrder pauses when the oldest message was overtaken. A stream acknowledges
// what it stores in order, so the server has dropped that message, or its
// acknowledgement is lost: a cluster does so while it is reconfigured. What is sent
// meanwhile would be stored before it.
func (s *sender) checkOrder() {
	w := s.window
	if w.inFlight() == 0 || s.newest <= w.head {
		return
	}
	s.suspend(fmt.Errorf("publish to %s: %w", w.at(w.head).msg.Subject, errOvertaken), 0)
}

var errOvertaken = errors.New("a later message is stored, and this one is not acknowledged; it is sent again, with all behind it")

// answer handles one answer. It returns the entry that is stored by it, and
// whether the stream knew its id although it was sent only once.
func (s *sender) answer(msg *nats.Msg) (*entry, bool) {
	number, round, ok := parseReply(s.inbox, msg.Subject)
	if !ok || number < s.window.head || number >= s.window.tail {
		return nil, false
	}
	e := s.window.at(number)
	if e.acked {
		return nil, false
	}
	ack, err := parseAck(msg, s.opt.Stream)
	if err != nil {
		if round == s.round {
			s.failed(e, fmt.Errorf("publish to %s: %w", e.msg.Subject, err))
		}
		return nil, false
	}
	if !ack.Duplicate {
		s.lastSeq = ack.Sequence // lower than before if the stream was created again
	}
	if round == s.round {
		if !ack.Duplicate { // those a cluster acknowledges at once, before what is on its way
			s.newest = max(s.newest, number)
		}
		s.resume()
	}
	s.stored(e, ack.Sequence, ack.Duplicate)
	return e, ack.Duplicate && e.sends == 1
}

// stored marks a message as stored and tells of it. The caller settles it.
func (s *sender) stored(e *entry, sequence uint64, duplicate bool) {
	e.acked = true
	if s.opt.Acked != nil {
		s.opt.Acked(Ack{Msg: e.msg, Tag: e.tag, Sequence: sequence, Duplicate: duplicate, Resent: e.sends > 1, Accepted: e.accepted, Sent: e.sent})
	}
}

// maxReplacements is how often one message may be replaced: a replacement may
// be refused itself.
const maxReplacements = 2

// failed pauses, or replaces a message that can never be stored and goes on.
func (s *sender) failed(e *entry, err error) {
	if permanent(err) && e.replaced < maxReplacements && s.opt.Refused != nil {
		if msg := s.opt.Refused(e.msg, err); msg != nil {
			s.replace(e, msg)
			s.rewind(0)
			return
		}
	}
	s.suspend(err, s.pause.NextBackOff())
}

// suspend pauses, and then begins again with the oldest message.
func (s *sender) suspend(err error, pause time.Duration) {
	first := s.Stats().Err == nil
	s.rewind(pause)
	s.count(func(st *Stats) { st.Err = err })
	if first && s.opt.Changed != nil {
		s.opt.Changed(err)
	}
}

func (s *sender) replace(e *entry, msg *nats.Msg) {
	size := Size(msg)
	s.count(func(st *Stats) { st.Refused++; st.Bytes += size - e.size })
	e.msg, e.size = msg, size
	e.replaced++
}

// rewind starts a new round: the oldest message alone, after a pause.
func (s *sender) rewind(pause time.Duration) {
	s.window.advance()
	s.window.rewind()
	s.round++
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
	if s.Stats().Err == nil {
		return // a replaced message, not an outage
	}
	s.count(func(st *Stats) { st.Err = nil })
	if s.opt.Changed != nil {
		s.opt.Changed(nil)
	}
}

// connectionChanged reacts to the client library's own states: what was in
// flight when a connection ended, a probe too, may or may not be stored.
func (s *sender) connectionChanged(st nats.Status) {
	if st == nats.CONNECTED {
		s.notBefore = time.Now()
		return
	}
	if s.window.inFlight() > 0 {
		s.failed(s.window.at(s.window.head), nats.ErrDisconnected)
	}
}

// checkAckWait pauses when the oldest message waits too long for its answer.
func (s *sender) checkAckWait() {
	if s.window.inFlight() == 0 || time.Until(s.ackDue()) > 0 {
		return
	}
	e := s.window.at(s.window.head)
	s.failed(e, fmt.Errorf("publish to %s: %w", e.msg.Subject, errNoAck{s.opt.AckWait}))
}

// ackDue is when the oldest message has waited too long. A full window at a
// slow server may take longer than one message.
func (s *sender) ackDue() time.Time {
	waits := s.window.at(s.window.head).sent
	if s.progress.After(waits) {
		waits = s.progress
	}
	return waits.Add(s.opt.AckWait)
}

type errNoAck struct{ wait time.Duration }

func (e errNoAck) Error() string {
	return fmt.Sprintf("no acknowledgement within %s (is publishing permitted, has the stream a leader?)", e.wait)
}

// Unwrap makes the error a time-out for errors.Is.
func (e errNoAck) Unwrap() error { return nats.ErrTimeout }

// deadline is how long Run may wait for something to happen.
func (s *sender) deadline() time.Duration {
	if s.window.inFlight() > 0 {
		return max(0, time.Until(s.ackDue()))
	}
	if s.probing {
		return max(0, time.Until(s.notBefore))
	}
	return time.Hour
}

func (s *sender) count(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}
