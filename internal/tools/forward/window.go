package forward

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/sleep"
	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	"github.com/zoomstream/zoomstream/message"
)

const (
	headerPin        = "Nats-Pin-Id"
	outstandingEvery = 200 * time.Millisecond
	apiTimeout       = 5 * time.Second
)

// delivery is a message in flight: the consumer has handed it out to this instance and has no
// acknowledgement yet.
type delivery struct {
	m    *inspect.Message
	lane int
	busy bool // a goroutine is delivering it

	mu    sync.Mutex
	reply string // subject of its acknowledgement; the latest one after a redelivery
}

func (d *delivery) answerTo() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reply
}

// window is what is in flight. Its fields belong to the goroutine of [forwarder.deliverAll].
type window struct {
	*forwarder
	consumer jetstream.Consumer
	stopping context.Context // ends at the first request to stop
	work     context.Context // ends attempts in progress, too

	inFlight map[uint64]*delivery // by sequence in the stream
	lanes    [][]*delivery        // the same, per lane and in the stream's order
	done     chan result
	running  sync.WaitGroup // delivering goroutines

	pin      string // the consumer's current pin
	loss     lossWatch
	complete bool // everything that the consumer has handed out is in flight here
}

// result is the outcome of a delivery.
type result struct {
	delivery       *delivery
	unacknowledged bool // stopped before it was acknowledged
}

// deliverAll delivers what the consumer hands out, until ctx ends.
func (f *forwarder) deliverAll(ctx context.Context, consumer jetstream.Consumer) error {
	messages, err := consumer.Messages(jetstream.PullMaxMessages(f.asked()), jetstream.PullExpiry(f.pace.pull), jetstream.PullPriorityGroup(priorityGroup))
	if err != nil {
		return f.consumerError(err)
	}
	stopping, stop := context.WithCancel(ctx)
	defer stop()
	work, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	w := &window{
		forwarder: f, consumer: consumer, stopping: stopping, work: work,
		inFlight: make(map[uint64]*delivery), lanes: make([][]*delivery, f.Parallel), done: make(chan result, f.window()),
	}
	handedOut, ended := make(chan jetstream.Msg), make(chan error, 1)
	var receiver sync.WaitGroup
	receiver.Go(func() { ended <- w.receive(messages, handedOut) })
	w.loss.begin(consumer.CachedInfo())
	w.checkLoss()

	err = w.loop(handedOut, ended)
	stop()
	messages.Stop()
	receiver.Wait()
	time.AfterFunc(f.pace.stop, abort)
	w.finish()
	return stopped(ctx, err)
}

// receive passes on what is handed out. It keeps sending pull requests even while the window is
// full, which keeps this instance pinned.
func (w *window) receive(messages jetstream.MessagesContext, handedOut chan<- jetstream.Msg) error {
	for {
		msg, err := messages.Next(jetstream.NextContext(w.stopping))
		switch {
		case w.stopping.Err() != nil:
			return w.stopping.Err()
		case errors.Is(err, jetstream.ErrNoHeartbeat): // NATS or the consumer is gone
			if err := w.checkConsumer(); err != nil {
				return err
			}
			continue
		case err != nil:
			return w.gone(err)
		}
		select {
		case handedOut <- msg:
		case <-w.stopping.Done():
			return w.stopping.Err()
		}
	}
}

func (w *window) checkConsumer() error {
	ctx, cancel := context.WithTimeout(w.stopping, apiTimeout)
	defer cancel()
	if _, err := w.consumer.Info(ctx); errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return w.gone(err)
	}
	return nil
}

func (w *window) gone(err error) error {
	return fmt.Errorf("%w; if somebody has removed it, a restart recreates it, beginning with new events or where --since says", w.consumerError(err))
}

// loop works until it has to stop.
func (w *window) loop(handedOut <-chan jetstream.Msg, ended <-chan error) error {
	extend, outstanding, loss, report := time.NewTicker(w.pace.ackWait/3), time.NewTicker(outstandingEvery), time.NewTicker(w.pace.loss), time.NewTicker(reportEvery)
	defer extend.Stop()
	defer outstanding.Stop()
	defer loss.Stop()
	defer report.Stop()
	for {
		w.dispatch()
		select {
		case msg := <-handedOut:
			w.take(msg)
		case r := <-w.done:
			w.release(r)
		case <-extend.C:
			w.extendAckWait()
		case <-outstanding.C:
			w.checkOutstanding()
			w.noteLoad()
		case <-loss.C:
			w.checkLoss()
		case <-report.C:
			w.noteLoad()
			w.progress.report(w.Log, w.Name)
		case err := <-ended:
			return err
		}
	}
}

// take adds a message to those in flight, or acknowledges it unsent if it is no event or does not
// match.
func (w *window) take(msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		return // not from a consumer
	}
	w.progress.handedOut(meta)
	w.loss.handedOut(meta.Sequence.Stream)
	if d, ok := w.inFlight[meta.Sequence.Stream]; ok {
		d.mu.Lock()
		d.reply = msg.Reply()
		d.mu.Unlock()
		return
	}
	m := &inspect.Message{Sequence: meta.Sequence.Stream, Stored: meta.Timestamp, Subject: msg.Subject(), Header: msg.Headers(), Body: msg.Data()}
	if pin := m.Header.Get(headerPin); pin != w.pin {
		w.pin, w.complete = pin, false
		w.Log.Info().Str("code", "forward.active").Str("name", w.Name).Msg("this instance gets the events")
	}
	if !w.matches(m) {
		w.answer(msg.Reply(), ack) //nolint:errcheck // it would come again
		return
	}
	d := &delivery{m: m, lane: w.laneOf(m), reply: msg.Reply()}
	w.inFlight[m.Sequence] = d
	lane := &w.lanes[d.lane]
	at, _ := slices.BinarySearchFunc(*lane, m.Sequence, func(d *delivery, sequence uint64) int { return cmp.Compare(d.m.Sequence, sequence) })
	*lane = slices.Insert(*lane, at, d)
}

// matches reports whether a message has to be delivered.
func (f *forwarder) matches(m *inspect.Message) bool {
	return message.KindOf(f.Prefix, m.Subject) == message.KindEvent && inspect.MatchesEvent(f.Events, m.EventName(f.Prefix))
}

// laneOf returns the lane of a message, which is the same for all messages about one object.
func (f *forwarder) laneOf(m *inspect.Message) int {
	if f.Parallel == 1 {
		return 0
	}
	key := m.Header.Get(message.HeaderObjectID)
	if key == "" { // only then is the body parsed
		key, _ = m.Object()
	}
	if key == "" {
		key = m.Account()
	}
	hash := fnv.New32a()
	hash.Write([]byte(key)) //nolint:errcheck // a hash takes everything
	return int(hash.Sum32() % uint32(f.Parallel))
}

// checkOutstanding finds out whether everything that the consumer has handed out, to any instance,
// is in flight here. While something may be missing nothing is delivered, since a later message
// could overtake it. This matters with one lane too: what another instance had in flight on several
// lanes is redelivered all at once.
func (w *window) checkOutstanding() {
	if w.complete || len(w.inFlight) == 0 {
		return
	}
	for _, d := range w.inFlight {
		if d.busy {
			return
		}
	}
	ctx, cancel := context.WithTimeout(w.stopping, apiTimeout)
	defer cancel()
	info, err := w.consumer.Info(ctx)
	w.complete = err == nil && info.NumAckPending <= len(w.inFlight)
}

// dispatch starts the delivery of the first message of each free lane.
func (w *window) dispatch() {
	if !w.complete {
		return
	}
	for _, lane := range w.lanes {
		if len(lane) == 0 || lane[0].busy {
			continue
		}
		d := lane[0]
		d.busy = true
		w.running.Go(func() { w.done <- result{d, !w.deliver(d)} })
	}
}

// deliver delivers a message, or stores its dead letter, and acknowledges it. It returns false if
// it was stopped before.
func (w *window) deliver(d *delivery) bool {
	refusal, err := w.attempt(w.stopping, w.work, d.m)
	if err == nil && refusal != nil {
		err = w.storeDead(w.stopping, d.m, refusal)
	}
	if err != nil {
		return false
	}
	return w.acknowledge(d)
}

// acknowledge repeats the acknowledgement until the server confirms it. It returns false if it was
// stopped before.
func (w *window) acknowledge(d *delivery) bool {
	for {
		ctx, cancel := context.WithTimeout(w.work, apiTimeout)
		_, err := w.nc.RequestWithContext(ctx, d.answerTo(), []byte(ack))
		cancel()
		if err == nil || w.work.Err() != nil {
			return err == nil
		}
		sleep.For(w.work, w.pace.firstPause) //nolint:errcheck // the caller looks
	}
}

func (w *window) release(r result) {
	d := r.delivery
	d.busy = false
	if r.unacknowledged { // finish hands it back
		return
	}
	w.remove(d)
}

func (w *window) remove(d *delivery) {
	delete(w.inFlight, d.m.Sequence)
	w.lanes[d.lane] = slices.DeleteFunc(w.lanes[d.lane], func(other *delivery) bool { return other == d })
}

// Replies to a consumer.
const (
	ack        = "+ACK"
	inProgress = "+WPI"
	handBack   = "-NAK"
)

func (w *window) answer(reply, what string) error { return w.nc.Publish(reply, []byte(what)) }

// noteLoad publishes what is in flight to other goroutines.
func (w *window) noteLoad() {
	l := load{inFlight: len(w.inFlight)}
	for _, d := range w.inFlight {
		if l.oldest.IsZero() || d.m.Stored.Before(l.oldest) {
			l.oldest = d.m.Stored
		}
	}
	w.progress.load.Store(&l)
}

// extendAckWait restarts the ack wait of everything in flight.
func (w *window) extendAckWait() {
	for _, d := range w.inFlight {
		w.answer(d.answerTo(), inProgress) //nolint:errcheck // it would come again
	}
}

// finish waits for deliveries in progress, hands back what is not delivered, and passes the rest to
// another instance at once.
func (w *window) finish() {
	go func() {
		w.running.Wait()
		close(w.done)
	}()
	for r := range w.done {
		w.release(r)
	}
	w.reportAbandoned()
	w.noteLoad()
	w.progress.end(w.Log, w.Name)
	if !w.nc.IsConnected() {
		return
	}
	for _, lane := range w.lanes {
		for _, d := range lane {
			w.answer(d.answerTo(), handBack) //nolint:errcheck // it would come again
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.stopping), apiTimeout)
	defer cancel()
	if w.pin != "" {
		w.unpin(ctx)
	}
	w.nc.FlushWithContext(ctx) //nolint:errcheck // it would come again
}

// unpin releases the pin. It fails if the pin has expired or the permission is missing; in the
// latter case others wait until it expires.
func (w *window) unpin(ctx context.Context) {
	stream, err := w.js.Stream(ctx, w.Stream)
	if err == nil {
		err = stream.UnpinConsumer(ctx, consumerName(w.Name), priorityGroup)
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		w.Log.Debug().Str("code", "forward.pinned").Err(err).Msg("others may have to wait until the pin expires")
	}
}
