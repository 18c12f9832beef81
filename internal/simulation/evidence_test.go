package simulation

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// evidence is what the oracle judges by.
type evidence struct {
	*world
	ledger   zoomsim.Ledger
	sockets  map[int]zoomsim.Socket
	owners   map[string]*replica // by name
	stored   []storedMessage     // in the stream's order
	byEvent  map[eventKey]storedMessage
	others   []string // everything else that NATS stores
	problems []string
}

// storedMessage is one message in the stream.
type storedMessage struct {
	sequence     uint64
	at           time.Time // when it was stored
	subject      string
	header       nats.Header
	data         []byte
	subscription string
	received     time.Time
	epoch        uint64
}

func (m storedMessage) kind() message.Kind { return message.KindOf(prefix, m.subject) }

func (m storedMessage) key() eventKey {
	return eventKey{m.header.Get(message.HeaderTrackingID), sha256.Sum256(m.data)}
}

// eventKey identifies an event: each has a body of its own.
type eventKey struct {
	tracking string
	digest   zoomsim.Digest
}

func keyOf(e zoomsim.Entry) eventKey { return eventKey{e.TrackingID, e.Digest} }

// evidence collects the evidence while the nats-server still runs.
func (w *world) evidence() (*evidence, error) {
	v := &evidence{
		world: w, ledger: w.sim.Ledger(), sockets: make(map[int]zoomsim.Socket),
		owners: make(map[string]*replica), byEvent: make(map[eventKey]storedMessage),
	}
	for _, k := range v.ledger.Sockets {
		v.sockets[k.N] = k
	}
	for _, r := range w.ran {
		v.owners[r.name] = r
	}
	nc, err := nats.Connect("", nats.InProcessServer(&w.nats))
	if err != nil {
		return nil, fmt.Errorf("the oracle does not reach NATS: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		all, err := contents(ctx, js, name)
		if err != nil {
			return nil, fmt.Errorf("the oracle cannot read stream %s: %w", name, err)
		}
		if name == stream {
			v.stored = all
			continue
		}
		for _, m := range all {
			v.others = append(v.others, fmt.Sprintf("%s %s %s %s", name, m.subject, m.header, m.data))
		}
	}
	return v, names.Err()
}

// contents returns all messages of a stream.
func contents(ctx context.Context, js jetstream.JetStream, name string) ([]storedMessage, error) {
	s, err := js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	count := int(s.CachedInfo().State.Msgs)
	if count == 0 {
		return nil, nil
	}
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	var all []storedMessage
	for len(all) < count {
		batch, err := consumer.Fetch(min(count-len(all), 5000), jetstream.FetchMaxWait(10*time.Second))
		if err != nil {
			return nil, err
		}
		before := len(all)
		for m := range batch.Messages() {
			all = append(all, newMessage(m))
		}
		if len(all) == before {
			return nil, errors.Join(fmt.Errorf("read %d of %d messages", before, count), batch.Error())
		}
	}
	return all, nil
}

func newMessage(m jetstream.Msg) storedMessage {
	h := message.ParseHeaders(m.Headers())
	out := storedMessage{subject: m.Subject(), header: m.Headers(), data: m.Data(), subscription: h.Subscription, epoch: h.Epoch, received: h.Received}
	if meta, err := m.Metadata(); err == nil {
		out.sequence, out.at = meta.Sequence.Stream, meta.Timestamp
	}
	return out
}

// clock formats a time as the journal does.
func (v *evidence) clock(t time.Time) string { return fmt.Sprintf("%.3fs", t.Sub(v.start).Seconds()) }

func (v *evidence) describe(e zoomsim.Entry) string {
	k, ok := v.sockets[e.Socket]
	if !ok {
		return fmt.Sprintf("event %d (%s of %s at %s, for which there was no socket)", e.N, e.Event, e.Subscription, v.clock(e.At))
	}
	return fmt.Sprintf("event %d (%s of %s at %s, socket %d of %s, which was ready at %s, retired at %s, closed at %s: %s)",
		e.N, e.Event, e.Subscription, v.clock(e.At), k.N, k.Remote, v.clock(k.Ready), v.clock(k.Retired), v.clock(k.Closed), k.Cause)
}

// blame reports a broken promise. Of many similar problems it keeps a few.
func (v *evidence) blame(promise, format string, args ...any) {
	const enough = 3
	alike := 0
	for _, p := range v.problems {
		if strings.HasPrefix(p, promise) {
			alike++
		}
	}
	if alike < enough {
		v.problems = append(v.problems, promise+": "+fmt.Sprintf(format, args...))
	}
}
