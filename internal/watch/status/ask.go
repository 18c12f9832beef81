package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/zoomstream/zoomstream/message"
)

// AskOptions says whom to ask for what.
type AskOptions struct {
	Bucket  string
	History bool          // include each subscription's history
	Wait    time.Duration // how long to wait for known replicas that have not answered; 0: 1 s
}

const (
	defaultWait = time.Second
	// present is how long after its last announcement a replica counts as alive (as in package
	// lease).
	present = 3500 * time.Millisecond
	// Limits, in messages and bytes, of the answers that wait to be processed.
	answersAtOnce = 1024
	bytesAtOnce   = 64 << 20
)

// Ask asks all replicas at once. It merges their answers with what the buckets hold for
// subscriptions whose leader does not answer. What could not be obtained is in the overview's
// notes; the error is for when nothing was.
func Ask(ctx context.Context, js jetstream.JetStream, o AskOptions) (*Overview, error) {
	nc := js.Conn()
	if !nc.IsConnected() {
		return nil, errors.New("NATS is not connected")
	}
	q, err := newInquiry(nc, o)
	if err != nil {
		return nil, fmt.Errorf("ask the replicas: %w", err)
	}
	defer q.close()
	if err := q.send(ctx); err != nil {
		return nil, fmt.Errorf("ask the replicas: %w", err)
	}

	var reading sync.WaitGroup
	stored := make(chan buckets, 1)
	reading.Go(func() { stored <- listBuckets(ctx, js, o.Bucket) })
	defer reading.Wait()
	if err := q.collect(ctx, stored); err != nil {
		return nil, err
	}
	if open := q.open(); len(open) > 0 {
		list := q.stored
		reading.Go(func() { stored <- list.read(ctx, js, o.Bucket, open) })
		if err := q.collect(ctx, stored); err != nil {
			return nil, err
		}
	}
	if err := q.nothing(); err != nil {
		return nil, err
	}
	return merge(o.Bucket, time.Now().UTC(), q.answers, q.stored, q.notes), nil
}

// inquiry is one request to all replicas.
type inquiry struct {
	nc  *nats.Conn
	o   AskOptions
	sub *nats.Subscription
	in  chan *nats.Msg
	end chan struct{} // closed when nobody reads in any more

	answers map[string]*Replica // by nonce
	kept    int                 // approximate bytes of memory they take
	stored  buckets
	notes   []string
	late    *time.Timer
	over    bool // no more answers will come
}

func newInquiry(nc *nats.Conn, o AskOptions) (*inquiry, error) {
	q := &inquiry{
		nc: nc, o: o, in: make(chan *nats.Msg, 16), end: make(chan struct{}), answers: make(map[string]*Replica), late: time.NewTimer(cmp.Or(o.Wait, defaultWait)),
	}
	var err error
	q.sub, err = nc.Subscribe(nc.NewInbox(), func(msg *nats.Msg) {
		select {
		case q.in <- msg:
		case <-q.end:
		}
	})
	if err != nil {
		return nil, err
	}
	return q, q.sub.SetPendingLimits(answersAtOnce, bytesAtOnce)
}

func (q *inquiry) close() {
	q.late.Stop()
	q.sub.Unsubscribe() //nolint:errcheck // the connection is broken
	close(q.end)
}

// note adds a note, once.
func (q *inquiry) note(text string) {
	if len(q.notes) < maxNotes && !slices.Contains(q.notes, text) {
		q.notes = append(q.notes, text)
	}
}

func (q *inquiry) send(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bucketPatience)
	defer cancel()
	var body []byte
	if q.o.History {
		body = []byte(`{"history":true}`)
	}
	err := publish(ctx, q.nc, statusSubject(q.o.Bucket), q.sub.Subject, body)
	if denied, ok := errors.AsType[*DeniedError](err); ok {
		q.over = true
		q.note("the replicas cannot be asked: " + denied.Error())
		return nil
	}
	return err
}

// collect takes answers until no more can come: the buckets have been read, and all known replicas
// have answered or the time is up.
func (q *inquiry) collect(ctx context.Context, stored <-chan buckets) error {
	for stored != nil || !q.over && !q.complete() {
		select {
		case msg := <-q.in:
			q.take(msg)
		case q.stored = <-stored:
			stored = nil
		case <-q.late.C:
			q.over = true
		case <-ctx.Done():
			return fmt.Errorf("ask the replicas: %w", context.Cause(ctx))
		}
	}
	return q.takeRest(ctx)
}

// takeRest takes the answers that have arrived but were not processed yet.
func (q *inquiry) takeRest(ctx context.Context) error {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for taken := 0; taken < answersAtOnce; {
		if n, _, _ := q.sub.Pending(); n <= 0 && len(q.in) == 0 {
			return nil
		}
		select {
		case msg := <-q.in:
			q.take(msg)
			taken++
		case <-again.C: // a message counts as pending until its handler has returned
		case <-ctx.Done():
			return fmt.Errorf("ask the replicas: %w", context.Cause(ctx))
		}
	}
	return nil
}

func (q *inquiry) take(msg *nats.Msg) {
	if unanswered(msg) {
		q.over = true
		return
	}
	if text := msg.Header.Get(micro.ErrorHeader); text != "" {
		q.note("a replica could not answer: " + message.Short(text, message.MaxText))
		return
	}
	r, size, err := readReplica(msg.Data)
	switch {
	case err != nil:
		q.note("something answers on " + statusSubject(q.o.Bucket) + " that is no replica")
	case q.answers[r.Nonce] != nil: // a second answer of the same replica
	case len(q.answers) == maxReplicas || q.kept+size > maxKept:
		q.note("more is answered on " + statusSubject(q.o.Bucket) + " than replicas would send; the rest is ignored")
	default:
		q.answers[r.Nonce] = r
		q.kept += size
	}
}

// complete reports whether all known replicas have answered. Before the first answer none is known,
// so it is false.
func (q *inquiry) complete() bool {
	if len(q.answers) == 0 {
		return false
	}
	for _, record := range q.stored.leases {
		if q.answers[record.Nonce] == nil {
			return false
		}
	}
	for _, r := range q.answers {
		for _, other := range r.Others {
			if !other.Leaving && r.Now.Sub(other.Heard) < present && q.answers[other.Nonce] == nil {
				return false
			}
		}
	}
	return true
}

// open returns the subscriptions to read from the buckets: those without exactly one answering
// leader that has adopted the previous term's state.
func (q *inquiry) open() map[string]bool {
	leaders := make(map[string]int)
	for _, r := range q.answers {
		for _, s := range r.Subscriptions {
			if s.Role == Leader && !s.Adopting {
				leaders[s.Subscription]++
			}
		}
	}
	open := make(map[string]bool)
	for _, keys := range []map[string]bool{q.stored.leaseKeys, q.stored.stateKeys} {
		for subscription := range keys {
			if leaders[subscription] != 1 {
				open[subscription] = true
			}
		}
	}
	return open
}

// nothing returns an error if neither a replica nor a bucket provided anything.
func (q *inquiry) nothing() error {
	if len(q.answers) > 0 || q.stored.leaseKeys != nil || q.stored.stateKeys != nil {
		return nil
	}
	silence := errors.New("no replica answers on " + statusSubject(q.o.Bucket))
	if len(q.notes) > 0 {
		silence = errors.New(q.notes[0])
	}
	cause := errors.Join(q.stored.errs...)
	if errors.Is(cause, errNoBucket) {
		return fmt.Errorf("%w, and there is no bucket %s: zoomstream has never run on this NATS with ZOOMSTREAM_BUCKET=%s, "+
			"or it is just starting, or is waiting for something: see its log and /status", silence, q.o.Bucket, q.o.Bucket)
	}
	return fmt.Errorf("%w, and the buckets cannot be read: %w", silence, cause)
}
