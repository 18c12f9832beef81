package forward

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/sleep"
	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	"github.com/zoomstream/zoomstream/internal/webhook"
	"github.com/zoomstream/zoomstream/message"
)

// The dead letters have a stream of their own rather than that of the events: a forwarder needs no
// permission to write to the latter, other consumers do not receive dead letters, and an age or
// size limit that suits events would silently remove them.

// deadBytes is the size limit of the dead letters' stream when it is created.
const deadBytes = 256 << 20

// deadDuplicates is the duplicate window. An event that is given up again after a crash, all
// attempts later, must not become a second letter.
const deadDuplicates = time.Hour

// deadStream returns the name of the dead letters' stream. Its subjects begin with deadPrefix.
func (o *Options) deadStream() string { return o.Stream + "_DEAD" }

func (o *Options) deadPrefix() string { return o.Prefix + "-dead" }

// deadSubject returns the subject of a message's dead letter.
func (o *Options) deadSubject(subject string) string {
	return o.deadPrefix() + "." + o.Name + "." + strings.TrimPrefix(subject, o.Prefix+".")
}

// deadID returns the id of a message's dead letter.
func (o *Options) deadID(id string) string { return o.Name + ":" + id }

// ensureDeadStream creates the stream, or checks that the existing one loses nothing.
func (f *forwarder) ensureDeadStream(ctx context.Context) error {
	name, subjects := f.deadStream(), f.deadPrefix()+".>"
	stream, err := f.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = f.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: name, Description: "Events that zoomstream forward could not deliver; it removes them once they are", Subjects: []string{subjects},
			Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxBytes: deadBytes, Replicas: f.DeadReplicas, AllowDirect: true,
			Duplicates: deadDuplicates,
		})
	}
	if err != nil {
		return fmt.Errorf("stream %s of the dead letters: %w", name, err)
	}
	c, wrong := stream.CachedInfo().Config, ""
	switch {
	case len(c.Subjects) != 1 || c.Subjects[0] != subjects:
		wrong = "does not have the subjects " + subjects + " alone"
	case c.Retention != jetstream.WorkQueuePolicy:
		wrong = "does not remove what was delivered (retention): delete it, and it is recreated"
	case c.Discard != jetstream.DiscardNew:
		wrong = "removes old letters when it is full: nats stream edit " + name + " --discard=new"
	case c.MaxAge > 0:
		wrong = "removes old letters: nats stream edit " + name + " --max-age=0"
	case c.MaxMsgsPerSubject > 0 && !c.DiscardNewPerSubject:
		wrong = "removes old letters: nats stream edit " + name + " --max-msgs-per-subject=-1"
	}
	if wrong != "" {
		return &SetupError{fmt.Sprintf("stream %s of the dead letters %s", name, wrong)}
	}
	return nil
}

// storeDead stores the dead letter of a message, and retries until that succeeds or ctx ends:
// nothing is dropped, not even when the stream is full.
func (f *forwarder) storeDead(ctx context.Context, m *inspect.Message, r *webhook.Refusal) error {
	letter := f.deadLetter(m, r)
	pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(f.pace.firstPause), backoff.WithMaxInterval(f.pace.longestPause), backoff.WithMaxElapsedTime(0))
	for {
		err := f.publishDead(ctx, letter)
		if tooLarge(err) && len(letter.Data) > 0 {
			letter = withoutBody(letter, f.Stream, m)
			continue
		}
		if err == nil {
			f.progress.dead.Add(1)
			f.Log.Error().Str("code", "forward.dead").Str("name", f.Name).Str("id", m.Header.Get(message.HeaderID)).Str("subject", m.Subject).Uint64("stream_seq", m.Sequence).
				Str("reason", r.Code).Str("detail", r.Text).Msg("an event could not be delivered and is now a dead letter")
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f.Log.Error().Str("code", "forward.unstored").Str("name", f.Name).Uint64("stream_seq", m.Sequence).Err(err).
			Msg("a dead letter cannot be stored; the events behind it wait")
		sleep.For(ctx, pauses.NextBackOff()) //nolint:errcheck // the caller looks
	}
}

func (f *forwarder) publishDead(ctx context.Context, letter *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_, err := f.js.PublishMsg(ctx, letter, jetstream.WithExpectStream(f.deadStream()))
	return err
}

// deadLetter returns the message with its headers, and why it could not be delivered.
func (f *forwarder) deadLetter(m *inspect.Message, r *webhook.Refusal) *nats.Msg {
	letter := &nats.Msg{Subject: f.deadSubject(m.Subject), Header: nats.Header{}, Data: m.Body}
	for name, values := range m.Header {
		if !strings.HasPrefix(name, "Nats-") { // set by the server, or instructions to it
			letter.Header[name] = values
		}
	}
	id := m.Header.Get(message.HeaderID)
	if id == "" { // not published by zoomstream
		id = strconv.FormatUint(m.Sequence, 10)
	}
	letter.Header[message.HeaderID] = []string{f.deadID(id)}
	letter.Header[message.HeaderReasonCode] = []string{r.Code}
	letter.Header[message.HeaderReason] = []string{message.Short(r.Text, message.MaxText)}
	return letter
}

// tooLarge reports whether a letter can never be stored as it is: its additional headers make it
// larger than the event.
func tooLarge(err error) bool {
	const exceedsMaximum = 10054 // exceeds a stream's max_msg_size
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return errors.Is(err, nats.ErrMaxPayload) || ok && refused.ErrorCode == exceedsMaximum
}

// withoutBody returns a letter with the headers only. It cannot be sent again, but says where the
// event is.
func withoutBody(letter *nats.Msg, stream string, m *inspect.Message) *nats.Msg {
	cut := &nats.Msg{Subject: letter.Subject, Header: maps.Clone(letter.Header)}
	cut.Header[message.HeaderSize] = []string{strconv.Itoa(len(m.Body))}
	cut.Header[message.HeaderReason] = []string{fmt.Sprintf("%s; too large for a dead letter with its body: it is message %d of stream %s", letter.Header.Get(message.HeaderReason), m.Sequence, stream)}
	return cut
}

// Resent is the result of [ResendDead]. Letters without bodies cannot be sent and count as left.
type Resent struct{ Delivered, Left, WithoutBody int }

// ErrNoDeadStream says that no event was ever given up, or that the stream has another name.
var ErrNoDeadStream = errors.New("there is no such stream")

// ResendDead sends a delivery's dead letters again, in order. It removes those delivered and leaves
// the others. It stops early if a refusal concerns the endpoint rather than the message.
func ResendDead(ctx context.Context, js jetstream.JetStream, o Options) (Resent, error) {
	o.Parallel = 1
	f := newForwarder(js, o)
	defer f.client.CloseIdleConnections()
	consumer, err := f.deadConsumer(ctx)
	if err != nil {
		return Resent{}, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiTimeout)
		defer cancel()
		f.js.DeleteConsumer(ctx, f.deadStream(), consumer.CachedInfo().Name) //nolint:errcheck // the server does it later
	}()
	return f.resend(ctx, consumer, int(consumer.CachedInfo().NumPending)) //nolint:gosec // it is no more than fits the stream
}

// deadConsumer creates the consumer of the dead letters, in place of one left behind.
func (f *forwarder) deadConsumer(ctx context.Context) (jetstream.Consumer, error) {
	const longerThanAll = 24 * time.Hour // so that a letter that stays is not delivered again
	name := consumerName(f.Name)
	err := f.js.DeleteConsumer(ctx, f.deadStream(), name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, f.deadError(ErrNoDeadStream)
	}
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, fmt.Errorf("%w (its rights are those of user forwarder in nats.conf)", f.deadError(err))
	}
	consumer, err := f.js.CreateConsumer(ctx, f.deadStream(), jetstream.ConsumerConfig{
		Name: name, FilterSubject: f.deadPrefix() + "." + f.Name + ".>", AckPolicy: jetstream.AckExplicitPolicy, AckWait: longerThanAll,
		MaxDeliver: -1, MaxAckPending: -1, InactiveThreshold: longerThanAll,
	})
	if err != nil {
		return nil, f.deadError(err)
	}
	return consumer, nil
}

func (f *forwarder) deadError(err error) error {
	return fmt.Errorf("stream %s of the dead letters: %w", f.deadStream(), err)
}

func (f *forwarder) resend(ctx context.Context, consumer jetstream.Consumer, total int) (sent Resent, err error) {
	for sent.Left = total; sent.Delivered < total; {
		msg, err := consumer.Next(jetstream.FetchMaxWait(apiTimeout))
		if err != nil {
			return sent, f.deadError(err)
		}
		if len(msg.Headers()[message.HeaderSize]) > 0 {
			sent.WithoutBody++
			total--
			continue
		}
		refusal, err := f.attempt(ctx, ctx, f.fromDead(msg))
		if err != nil {
			return sent, err
		}
		if refusal == nil {
			if err := msg.DoubleAck(ctx); err != nil {
				return sent, f.deadError(err)
			}
			sent.Delivered, sent.Left = sent.Delivered+1, sent.Left-1
			continue
		}
		if !refusal.OfMessage {
			return sent, fmt.Errorf("%s; the dead letters after it were not tried", refusal.Text)
		}
		total--
	}
	return sent, nil
}

// fromDead restores the message of a dead letter.
func (f *forwarder) fromDead(msg jetstream.Msg) *inspect.Message {
	m := &inspect.Message{Subject: f.Prefix + strings.TrimPrefix(msg.Subject(), f.deadPrefix()+"."+f.Name), Header: nats.Header{}, Body: msg.Data()}
	for name, values := range msg.Headers() {
		m.Header[name] = values
	}
	m.Header[message.HeaderID] = []string{strings.TrimPrefix(m.Header.Get(message.HeaderID), f.deadID(""))}
	return m
}
