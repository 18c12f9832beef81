package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestRingIsBounded: a queue that is never empty does not grow for ever, and loses no entry while
// it grows.
func TestRingIsBounded(t *testing.T) {
	q, oldest := newQueue(), 0
	for i := range 10_000 {
		q.push(entry{size: i})
		if i < 150 {
			continue
		}
		if e := q.at(q.head); e.size != oldest { // from now on, one leaves for each that comes
			t.Fatalf("message %d is the oldest, not %d", e.size, oldest)
		}
		q.at(q.head).acked = true
		q.advance()
		oldest++
	}
	if len(q.ring) != 256 {
		t.Errorf("room for %d entries, of which %d wait", len(q.ring), q.tail-q.head)
	}
	for i := range q.ring {
		e := &q.ring[i]
		if n := uint64(e.size); e.size != 0 && (n < q.head || n >= q.tail) {
			t.Errorf("message %d is kept", n)
		}
	}
}

// unacked returns the numbers of the unacknowledged messages, and of those among them that may have
// been sent.
func unacked(p *Publisher) (all, sent []string) {
	for m := range p.Unacked {
		all = append(all, string(m.Msg.Data))
		if !m.Sent.IsZero() {
			sent = append(sent, string(m.Msg.Data))
		}
	}
	return all, sent
}

func TestUnacked(t *testing.T) {
	s := sent(3)
	earlier := time.Now().Add(-time.Minute)
	s.Offer(Message{Msg: message(3), Owner: "three", Sent: earlier, After: 7})
	s.Offer(Message{Msg: message(4)})
	if all, sent := unacked(s.Publisher); !slices.Equal(all, []string{"0", "1", "2", "3", "4"}) || !slices.Equal(sent, []string{"0", "1", "2", "3"}) {
		t.Errorf("unacknowledged %v, sent %v", all, sent)
	}
	for m := range s.Unacked {
		if m.Size != Size(m.Msg) {
			t.Errorf("the size of %s is %d", m.Msg.Data, m.Size)
		}
		if m.Owner == nil {
			continue
		}
		if m.Owner != "three" || !m.Sent.Equal(earlier) || m.After != 7 {
			t.Errorf("offered and shown differ: %+v", m)
		}
		break // must release the Publisher
	}
	s.opt.Acked = func(a Ack) {
		if all, _ := unacked(s.Publisher); slices.Contains(all, string(a.Msg.Data)) {
			t.Error("a message that is stored is among those that are not")
		}
	}
	s.receive(answerTo(1, 0, stored1), nil) // the oldest one is overtaken, and sent again
	if all, sent := unacked(s.Publisher); !slices.Equal(all, []string{"0", "2", "3", "4"}) || !slices.Equal(sent, []string{"0", "2", "3"}) {
		t.Errorf("unacknowledged %v, sent %v", all, sent)
	}
	s.receive(answerTo(0, 0, stored1), nil)
	if all, _ := unacked(s.Publisher); !slices.Equal(all, []string{"2", "3", "4"}) {
		t.Errorf("unacknowledged %v", all)
	}
}

// TestNotSentAfterAll: a batch ends early. The messages after the one that failed count as not
// sent.
func TestNotSentAfterAll(t *testing.T) {
	nc := connect(t, natstest.Run(t, t.TempDir(), -1).ClientURL())
	nc.Close()
	p := New(natstest.JetStream(t, nc), Options{})
	for i := range 3 {
		p.Offer(Message{Msg: message(i)})
	}
	s := newSender(p, "_INBOX.x")
	s.send(t.Context())
	if err := p.Stats().Err; !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("paused by %v", err)
	}
	if all, sent := unacked(p); len(all) != 3 || !slices.Equal(sent, []string{"0"}) {
		t.Errorf("unacknowledged %v, sent %v", all, sent)
	}
	s.notBefore = time.Time{}
	s.send(t.Context())
	if st := p.Stats(); st.Resent != 1 || st.Pending != 3 {
		t.Errorf("%+v", st)
	}
}

// TestManyProducers: many goroutines publish while others look. The messages of each are stored and
// seen in their order.
func TestManyProducers(t *testing.T) {
	const producers, each = 8, 1500
	nc := connect(t, natstest.Run(t, t.TempDir(), -1).ClientURL())
	createStream(t, nc, jetstream.StreamConfig{Storage: jetstream.MemoryStorage})
	type owner struct{ producer, number int }
	var stored [producers]int
	var sequence uint64
	p := run(t, nc, Options{Stream: "ZOOM", Window: 32, MaxPending: 300, Acked: func(a Ack) {
		o := a.Owner.(*owner)
		if o.number != stored[o.producer] || a.Sequence != sequence+1 {
			t.Errorf("producer %d: message %d is stored, not %d, at %d", o.producer, o.number, stored[o.producer], a.Sequence)
		}
		stored[o.producer]++
		sequence = a.Sequence
	}})
	var producing, looking sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	looking.Go(func() {
		for ctx.Err() == nil {
			var next [producers]int
			for m := range p.Unacked {
				o := m.Owner.(*owner)
				if next[o.producer] > o.number {
					t.Errorf("producer %d: message %d is behind %d", o.producer, o.number, next[o.producer]-1)
				}
				next[o.producer] = o.number + 1
			}
			p.Stats()
		}
	})
	for n := range producers {
		producing.Go(func() {
			for i := range each {
				m := Message{Owner: &owner{n, i}, Msg: &nats.Msg{Subject: "zoom.test", Header: nats.Header{"Nats-Msg-Id": {fmt.Sprint(n, "-", i)}}}}
				for !p.Offer(m) {
					<-p.Room()
				}
			}
		})
	}
	producing.Wait()
	flush(t, p)
	stop()
	looking.Wait()
	if st := p.Stats(); st.Acked != producers*each || st.Pending != 0 || st.Bytes != 0 || st.Resent != 0 {
		t.Errorf("%+v", st)
	}
}
