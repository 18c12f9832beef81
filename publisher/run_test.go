package publisher

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// newSender returns a sender with so many messages in flight in round 0.
func newSender(count int) *sender {
	p := New(nil, Options{})
	s := &sender{Publisher: p, window: newWindow(p.opt.Window), inbox: "_INBOX.x", pause: newPause()}
	for i := range count {
		s.window.push(entry{msg: message(i), sends: 1})
	}
	s.window.next = s.window.tail
	p.stats.Pending = count
	return s
}

func answerTo(number, round uint64, data string) *nats.Msg {
	return &nats.Msg{Subject: replySubject("_INBOX.x", number, round), Data: []byte(data)}
}

const (
	refusal = `{"error":{"code":503,"err_code":10077,"description":"no"}}`
	stored1 = `{"stream":"ZOOM","seq":1}`
)

// TestErrorsOfAnEarlierRound shows that one outage of a hundred messages is
// one pause, not a hundred growing ones.
func TestErrorsOfAnEarlierRound(t *testing.T) {
	s := newSender(100)
	for i := range uint64(100) {
		s.receive(answerTo(i, 0, refusal), nil)
	}
	if s.round != 1 || !s.probing || s.window.next != 0 {
		t.Errorf("round %d, probing %t, next %d", s.round, s.probing, s.window.next)
	}
}

// TestLateAnswersSettleAll shows that acknowledgements of the first sending
// that come after a disconnect end the pause if nothing is left.
func TestLateAnswersSettleAll(t *testing.T) {
	s := newSender(2)
	s.failed(s.window.at(0), errors.New("disconnected"))
	s.receive(answerTo(0, 0, stored1), nil)
	if !s.probing {
		t.Error("an answer of an earlier round opens the window while something is pending")
	}
	s.receive(answerTo(1, 0, stored1), nil)
	if s.probing || s.Stats().Err != nil || s.Stats().Pending != 0 {
		t.Errorf("probing %t, %+v", s.probing, s.Stats())
	}
}

// TestSlowServer shows that a server that works through a full window is not
// taken for a dead one, and that a lost answer is noticed all the same.
func TestSlowServer(t *testing.T) {
	s := newSender(4)
	long := time.Now().Add(-2 * s.opt.AckWait)
	for i := range uint64(4) {
		s.window.at(i).sent = long
	}
	s.receive(answerTo(0, 0, stored1), nil)
	s.checkAckWait()
	if s.probing {
		t.Error("a slow server counts as a dead one")
	}
}

// TestOvertaken shows which acknowledgements tell that an older message is dropped.
func TestOvertaken(t *testing.T) {
	const duplicate = `{"stream":"ZOOM","seq":1,"duplicate":true}`
	s := newSender(4)
	s.receive(answerTo(2, 0, duplicate), nil)
	if s.probing {
		t.Error("a duplicate, which a cluster acknowledges at once, tells nothing of those before it")
	}
	more := make(chan *nats.Msg, 1)
	more <- answerTo(0, 0, stored1)
	s.receive(answerTo(1, 0, stored1), more)
	if s.probing {
		t.Error("what has come by now is not overtaken")
	}
	s = newSender(4)
	s.receive(answerTo(1, 0, stored1), nil)
	if !s.probing || s.window.next != 0 || time.Until(s.notBefore) > 0 || !errors.Is(s.Stats().Err, errOvertaken) {
		t.Errorf("overtaken: probing %t, next %d, in %v, %v", s.probing, s.window.next, time.Until(s.notBefore), s.Stats().Err)
	}
	s.receive(answerTo(2, 0, stored1), nil)
	if s.round != 1 {
		t.Errorf("answers to an earlier round make round %d", s.round)
	}
	s.window.next = 1 // the oldest one is sent again
	s.receive(answerTo(0, 1, stored1), nil)
	if s.probing || s.Stats().Err != nil {
		t.Errorf("probing %t, %v", s.probing, s.Stats().Err)
	}
}

// TestQueueIsBounded holds that a queue that is never empty does not grow.
func TestQueueIsBounded(t *testing.T) {
	p := New(nil, Options{Window: 8, MaxPending: 64})
	s := &sender{Publisher: p, window: newWindow(8), pause: newPause()}
	for i := range 10_000 {
		if !p.accept(entry{msg: message(i), size: 10}) {
			t.Fatal("no room")
		}
		if i >= 50 { // from now on one leaves for each that comes
			s.window.at(s.window.head).acked = true
			s.window.advance()
			p.settle(1, 10, 0, 0)
		}
		s.take()
	}
	if cap(p.queue) > 256 {
		t.Errorf("room for %d entries, of which %d wait", cap(p.queue), len(p.queue)-p.taken)
	}
}

func TestStrangeAnswers(t *testing.T) {
	s := newSender(2)
	for _, msg := range []*nats.Msg{
		answerTo(7, 0, stored1), {Subject: "_INBOX.x"}, {Subject: "_INBOX.x.1"}, {Subject: "_INBOX.x.-.-"}, {Subject: "other"},
	} {
		s.receive(msg, nil)
	}
	if s.probing || s.window.held() != 2 {
		t.Error("an answer that is none was heeded")
	}
	for _, data := range []string{"", "{", "{}", `{"stream":"ZOOM"}`, `{"seq":1}`} {
		if _, err := parseAck(answerTo(0, 0, data), ""); err == nil {
			t.Errorf("%q counts as an acknowledgement", data)
		}
	}
}
