package publisher

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// sent returns a sender with so many messages in flight, in round 0.
func sent(count int) *sender {
	p := New(nil, Options{Window: max(count, 1)})
	for i := range count {
		p.Offer(Message{Msg: message(i)})
	}
	s := newSender(p, "_INBOX.x")
	for marked := 0; marked < count; marked += len(s.batch) {
		s.mark()
	}
	return s
}

func answerTo(number, round uint64, data string) *nats.Msg {
	return &nats.Msg{Subject: string(appendReply([]byte("_INBOX.x."), number, round)), Data: []byte(data)}
}

const (
	refusal = `{"error":{"code":503,"err_code":10077,"description":"no"}}`
	stored1 = `{"stream":"ZOOM","seq":1}`
)

// TestErrorsOfAnEarlierRound: an outage of a hundred messages causes one pause, not a hundred
// growing ones.
func TestErrorsOfAnEarlierRound(t *testing.T) {
	s := sent(100)
	for i := range uint64(100) {
		s.receive(answerTo(i, 0, refusal), nil)
	}
	if s.round != 1 || !s.probing || s.queue.next != 0 {
		t.Errorf("round %d, probing %t, next %d", s.round, s.probing, s.queue.next)
	}
}

// TestLateAnswersSettleAll: late acknowledgements of a first sending, after a disconnect, end the
// pause if nothing is left.
func TestLateAnswersSettleAll(t *testing.T) {
	s := sent(2)
	s.failed(0, errors.New("disconnected"))
	s.receive(answerTo(0, 0, stored1), nil)
	if !s.probing {
		t.Error("an answer of an earlier round opens the window while something is pending")
	}
	s.receive(answerTo(1, 0, stored1), nil)
	if s.probing || s.Stats().Err != nil || s.Stats().Pending != 0 {
		t.Errorf("probing %t, %+v", s.probing, s.Stats())
	}
}

// TestSlowServer: a server that works through a full window does not count as dead, but a lost
// answer is still noticed.
func TestSlowServer(t *testing.T) {
	s := sent(4)
	s.waiting = time.Now().Add(-2 * s.opt.AckWait)
	s.receive(answerTo(0, 0, stored1), nil)
	s.checkAckWait()
	if s.probing {
		t.Error("a slow server counts as a dead one")
	}
	s.waiting = time.Now().Add(-2 * s.opt.AckWait)
	s.checkAckWait()
	if !s.probing {
		t.Error("a lost answer is not noticed")
	}
}

// TestOvertaken: which acknowledgements show that an older message was dropped.
func TestOvertaken(t *testing.T) {
	const duplicate = `{"stream":"ZOOM","seq":1,"duplicate":true}`
	s := sent(4)
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
	s = sent(4)
	s.receive(answerTo(1, 0, stored1), nil)
	if !s.probing || s.queue.next != 0 || time.Until(s.notBefore) > 0 || !errors.Is(s.Stats().Err, errOvertaken) {
		t.Errorf("overtaken: probing %t, next %d, in %v, %v", s.probing, s.queue.next, time.Until(s.notBefore), s.Stats().Err)
	}
	s.receive(answerTo(2, 0, stored1), nil)
	if s.round != 1 {
		t.Errorf("answers to an earlier round make round %d", s.round)
	}
	s.mark() // sends the oldest one again
	s.receive(answerTo(0, 1, stored1), nil)
	if s.probing || s.Stats().Err != nil {
		t.Errorf("probing %t, %v", s.probing, s.Stats().Err)
	}
}

// TestUnsendable: a message that the client library itself refuses is replaced.
func TestUnsendable(t *testing.T) {
	nc := connect(t, natstest.Run(t, t.TempDir(), -1).ClientURL())
	createStream(t, nc, jetstream.StreamConfig{})
	header, subject, large := message(0), message(1), message(2)
	header.Header["no key"] = []string{"value"}
	subject.Subject = "zoom.a b"
	large.Data = make([]byte, nc.MaxPayload()+1)
	replaced := 0
	p := run(t, nc, Options{Refused: func(*nats.Msg, error) *nats.Msg {
		replaced++
		return message(replaced - 1)
	}})
	for _, msg := range []*nats.Msg{header, subject, large, message(3)} {
		if err := p.Publish(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, p)
	wantInOrder(t, nc, 4)
	if replaced != 3 {
		t.Errorf("%d messages are replaced", replaced)
	}
}

func TestStrangeAnswers(t *testing.T) {
	s := sent(2)
	for _, msg := range []*nats.Msg{
		answerTo(7, 0, stored1), {Subject: "_INBOX.x"}, {Subject: "_INBOX.x.1"}, {Subject: "_INBOX.x.-.-"}, {Subject: "other"},
	} {
		s.receive(msg, nil)
	}
	if s.probing || s.Stats().Pending != 2 {
		t.Error("an answer that is none was heeded")
	}
	for _, data := range []string{"", "{", "{}", `{"stream":"ZOOM"}`, `{"seq":1}`} {
		if _, err := parseAck(answerTo(0, 0, data), "", ""); err == nil {
			t.Errorf("%q counts as an acknowledgement", data)
		}
	}
}

// TestRefusedAndThenStored: the second sending of a message is refused, and the late
// acknowledgement of the first comes right after that. The message is stored, so it is not replaced
// and nothing is paused.
func TestRefusedAndThenStored(t *testing.T) {
	const tooLarge = `{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}`
	for _, refused := range []string{refusal, tooLarge} {
		s := sent(1)
		s.opt.Refused = func(msg *nats.Msg, _ error) *nats.Msg {
			t.Errorf("a replacement is asked for, of %v", msg)
			return nil
		}
		s.failed(0, nats.ErrDisconnected)
		s.notBefore = time.Now()
		s.mark()
		late := make(chan *nats.Msg, 1)
		late <- answerTo(0, 0, stored1)
		s.receive(answerTo(0, 1, refused), late)
		if st := s.Stats(); st.Pending != 0 || st.Bytes != 0 || st.Err != nil || s.probing {
			t.Errorf("%+v, probing %t", st, s.probing)
		}
	}
}
