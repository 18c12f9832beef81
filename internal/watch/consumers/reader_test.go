package consumers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// world is a stream on a real nats-server.
type world struct {
	*testing.T
	nats *server.Server
	js   jetstream.JetStream
	r    *Reader
}

func newWorld(t *testing.T, limits jetstream.StreamConfig) *world {
	t.Helper()
	t.Parallel()
	w := &world{T: t, nats: natstest.Run(t, t.TempDir(), -1)}
	nc := w.connect()
	w.js = w.jetStream(nc)
	limits.Name, limits.Subjects, limits.Storage, limits.AllowDirect = "ZOOM", []string{"zoom.>"}, jetstream.MemoryStorage, true
	_, err := w.js.CreateStream(t.Context(), limits)
	w.must(err)
	w.r = NewReader(w.js, "ZOOM")
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) connect(options ...nats.Option) *nats.Conn {
	w.Helper()
	nc, err := nats.Connect(w.nats.ClientURL(), options...)
	w.must(err)
	w.Cleanup(nc.Close)
	return nc
}

func (w *world) jetStream(nc *nats.Conn) jetstream.JetStream {
	w.Helper()
	js, err := jetstream.New(nc)
	w.must(err)
	return js
}

func (w *world) publish(n int, subject string) {
	w.Helper()
	for range n {
		_, err := w.js.Publish(w.Context(), subject, []byte("{}"))
		w.must(err)
	}
}

func (w *world) consumer(c jetstream.ConsumerConfig) jetstream.Consumer {
	w.Helper()
	consumer, err := w.js.CreateConsumer(w.Context(), "ZOOM", c)
	w.must(err)
	return consumer
}

// fetch gets exactly n messages, without acknowledging them.
func (w *world) fetch(c jetstream.Consumer, n int) (all []jetstream.Msg) {
	w.Helper()
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(5*time.Second))
	w.must(err)
	for msg := range batch.Messages() {
		all = append(all, msg)
	}
	if len(all) != n {
		w.Fatalf("%d messages, want %d: %v", len(all), n, batch.Error())
	}
	return all
}

func (w *world) ack(messages ...jetstream.Msg) {
	w.Helper()
	for _, msg := range messages {
		w.must(msg.DoubleAck(w.Context()))
	}
}

func (w *world) read() map[string]status.Consumer {
	w.Helper()
	report, err := w.r.Read(w.Context())
	w.must(err)
	by := make(map[string]status.Consumer)
	for _, c := range report.Durable {
		by[c.Name] = c
	}
	return by
}

// TestRead: what each kind of consumer has not processed.
func TestRead(t *testing.T) {
	w := newWorld(t, jetstream.StreamConfig{MaxAge: time.Hour})
	w.publish(10, "zoom.meeting.started") // messages 1 to 10
	w.publish(1, "zoom.user.created")     // message 11
	w.publish(1, "zoom.meeting.ended")    // message 12
	explicit := jetstream.AckExplicitPolicy
	w.consumer(jetstream.ConsumerConfig{Durable: "fresh", AckPolicy: explicit})
	w.consumer(jetstream.ConsumerConfig{Durable: "filtered", AckPolicy: explicit, FilterSubject: "zoom.user.>"})
	w.consumer(jetstream.ConsumerConfig{Durable: "filters", AckPolicy: explicit, FilterSubjects: []string{"zoom.meeting.ended", "zoom.user.created"}})
	w.consumer(jetstream.ConsumerConfig{Durable: "new", AckPolicy: explicit, DeliverPolicy: jetstream.DeliverNewPolicy})
	w.consumer(jetstream.ConsumerConfig{Name: "tool", AckPolicy: explicit})
	some := w.consumer(jetstream.ConsumerConfig{Durable: "some", AckPolicy: explicit})
	messages := w.fetch(some, 5)
	w.ack(messages[0], messages[1], messages[3]) // 3 and 5 stay unacknowledged
	through := w.consumer(jetstream.ConsumerConfig{Durable: "through", AckPolicy: jetstream.AckAllPolicy})
	w.ack(w.fetch(through, 12)[11])
	w.fetch(w.consumer(jetstream.ConsumerConfig{Durable: "unconfirmed", AckPolicy: jetstream.AckNonePolicy}), 4)

	got := w.read()
	for name, want := range map[string]status.Consumer{
		"fresh":       {Pending: 12, Sequence: 1},
		"filtered":    {Pending: 1, Sequence: 11},
		"filters":     {Pending: 2, Sequence: 11},
		"new":         {},
		"some":        {Pending: 7, Unacknowledged: 2, Sequence: 3},
		"through":     {},
		"unconfirmed": {Pending: 8, Sequence: 5},
	} {
		c, ok := got[name]
		if (c.Sequence > 0) != (c.Oldest > 0 && c.LosesIn > 0 && c.LosesIn+c.Oldest > 3599 && c.LosesIn+c.Oldest < 3601) {
			t.Errorf("%s: an age of %v, loses in %v", name, c.Oldest, c.LosesIn)
		}
		c.Oldest, c.LosesIn, want.Name = 0, 0, name
		if !ok || c != want {
			t.Errorf("%+v, want %+v", c, want)
		}
	}
	if len(got) != 7 || w.r.MaxAge() != time.Hour {
		t.Errorf("%d durable consumers; max_age %s", len(got), w.r.MaxAge())
	}
	report, err := w.r.Read(t.Context())
	w.must(err)
	if report.Ephemeral != 1 || report.More != 0 {
		t.Errorf("%+v", report)
	}
}

// TestLosesByAge: a consumer loses events once four fifths of a short max_age have passed.
func TestLosesByAge(t *testing.T) {
	w := newWorld(t, jetstream.StreamConfig{MaxAge: 2 * time.Second, Duplicates: time.Second})
	consumer := w.consumer(jetstream.ConsumerConfig{Durable: "slow", AckPolicy: jetstream.AckExplicitPolicy})
	w.publish(1, "zoom.meeting.started")
	if c := w.read()["slow"]; c.LosesBy != "" || c.Note() != "" {
		t.Errorf("at once: %+v", c)
	}
	for deadline := time.Now().Add(10 * time.Second); w.read()["slow"].LosesBy == ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it is not told: %+v", w.read())
		}
		if c := w.read()["slow"]; c.Oldest > 1.2 && c.Oldest < 1.5 { // more events, so that one is always about to be lost
			w.publish(1, "zoom.meeting.started")
		}
	}
	if c := w.read()["slow"]; c.LosesBy != status.LimitAge || c.Oldest < 1.6 || !strings.HasPrefix(c.Note(), "loses events") {
		t.Errorf("%+v: %q", c, c.Note())
	}
	info, err := consumer.Info(t.Context())
	w.must(err)
	w.ack(w.fetch(consumer, int(info.NumPending))...)
	if c := w.read()["slow"]; c.Note() != "" || c.Oldest != 0 {
		t.Errorf("when it has caught up: %+v", c)
	}
}

// TestLosesBySize: a consumer loses events once it is in the oldest tenth of a stream that drops
// its oldest messages.
func TestLosesBySize(t *testing.T) {
	w := newWorld(t, jetstream.StreamConfig{MaxMsgs: 100, Discard: jetstream.DiscardOld})
	w.consumer(jetstream.ConsumerConfig{Durable: "slow", AckPolicy: jetstream.AckExplicitPolicy})
	ahead := w.consumer(jetstream.ConsumerConfig{Durable: "ahead", AckPolicy: jetstream.AckExplicitPolicy})
	w.publish(50, "zoom.meeting.started")
	w.ack(w.fetch(ahead, 20)...)
	if c := w.read()["slow"]; c.LosesBy != "" {
		t.Errorf("the stream has room: %+v", c)
	}
	w.publish(45, "zoom.meeting.started")
	if all := w.read(); all["slow"].LosesBy != status.LimitMsgs || all["ahead"].LosesBy != "" {
		t.Errorf("%+v", all)
	}
	stream, err := w.js.Stream(t.Context(), "ZOOM")
	w.must(err)
	cfg := stream.CachedInfo().Config
	cfg.Discard = jetstream.DiscardNew
	_, err = w.js.UpdateStream(t.Context(), cfg)
	w.must(err)
	if c := w.read()["slow"]; c.LosesBy != "" {
		t.Errorf("the stream drops nothing: %+v", c)
	}
}

// TestStuck: a consumer is stuck if one message is delivered again and again and it acknowledges
// nothing.
func TestStuck(t *testing.T) {
	w := newWorld(t, jetstream.StreamConfig{})
	w.publish(3, "zoom.meeting.started")
	stuck := w.consumer(jetstream.ConsumerConfig{Durable: "stuck", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1})
	poison := w.consumer(jetstream.ConsumerConfig{Durable: "poison", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 2})
	w.fetch(w.consumer(jetstream.ConsumerConfig{Durable: "busy", AckPolicy: jetstream.AckExplicitPolicy}), 1)
	at := time.Now()
	follow := func(after time.Duration) map[string]time.Duration {
		t.Helper()
		stream, err := w.js.Stream(t.Context(), "ZOOM")
		w.must(err)
		all, err := w.r.list(t.Context(), stream)
		w.must(err)
		return w.r.follow(all, at.Add(after))
	}
	repeat := func(c jetstream.Consumer, n int) {
		t.Helper()
		for range n {
			w.must(w.fetch(c, 1)[0].Nak())
		}
	}
	repeat(stuck, 1)
	first := w.fetch(poison, 2)
	w.must(first[0].Nak())
	follow(0)
	repeat(stuck, 11)
	repeat(poison, 11)
	w.ack(first[1]) // the consumer acknowledges another message
	if got := follow(4 * time.Minute); len(got) != 0 {
		t.Errorf("after 4 minutes: %v", got)
	}
	if got := follow(6 * time.Minute); len(got) != 1 || got["stuck"] != 6*time.Minute {
		t.Errorf("after 6 minutes: %v", got)
	}
	w.ack(w.fetch(stuck, 1)...)
	if got := follow(7 * time.Minute); len(got) != 0 {
		t.Errorf("after an acknowledgement: %v", got)
	}
}

// TestMany: of too many consumers, the ones that are furthest behind are named.
func TestMany(t *testing.T) {
	w := newWorld(t, jetstream.StreamConfig{})
	w.publish(2, "zoom.meeting.started")
	for i := range maxNamed + 5 {
		w.consumer(jetstream.ConsumerConfig{Durable: fmt.Sprintf("c%03d", i), AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverNewPolicy})
	}
	w.consumer(jetstream.ConsumerConfig{Durable: "z-behind", AckPolicy: jetstream.AckExplicitPolicy})
	report, err := w.r.Read(t.Context())
	w.must(err)
	if last := report.Durable[len(report.Durable)-1]; len(report.Durable) != maxNamed || report.More != 6 || last.Name != "z-behind" || last.Pending != 2 {
		t.Errorf("%d named, %d more, the last %+v", len(report.Durable), report.More, last)
	}
}

// TestUnreadMessages: messages that cannot be looked up in time do not hide the rest of the report.
func TestUnreadMessages(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), Users: []*server.User{
		{Username: "all", Password: "p"},
		{Username: "blind", Password: "p", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.DIRECT.GET.>", "$JS.API.STREAM.MSG.GET.>"}}}},
	}})
	w := &world{T: t, nats: srv}
	js := w.jetStream(w.connect(nats.UserInfo("all", "p")))
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Storage: jetstream.MemoryStorage})
	w.must(err)
	for n := range 40 {
		_, err := js.CreateConsumer(t.Context(), "ZOOM", jetstream.ConsumerConfig{Durable: fmt.Sprintf("c%02d", n), AckPolicy: jetstream.AckExplicitPolicy})
		w.must(err)
	}
	_, err = js.Publish(t.Context(), "zoom.a", nil)
	w.must(err)
	nc := w.connect(nats.UserInfo("blind", "p"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	report, err := NewReader(w.jetStream(nc), "ZOOM").Read(ctx)
	w.must(err)
	if len(report.Durable) != 40 || report.Durable[39].Name != "c39" || report.Durable[39].Pending != 1 || !strings.HasPrefix(report.Trouble, "the oldest unprocessed message of 40 consumers cannot be read: ") {
		t.Errorf("%+v", report)
	}
}

// TestDenied: the error names the missing right.
func TestDenied(t *testing.T) {
	w := &world{T: t}
	t.Parallel()
	w.nats = natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), Users: []*server.User{
		{Username: "a", Password: "a", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.CONSUMER.LIST.>"}}}},
	}})
	nc := w.connect(nats.UserInfo("a", "a"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	js := w.jetStream(nc)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}})
	w.must(err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // nobody will answer
	defer cancel()
	_, err = NewReader(js, "ZOOM").Read(ctx)
	denied, ok := errors.AsType[*status.DeniedError](err)
	if !ok || denied.Subject != "$JS.API.CONSUMER.LIST.ZOOM" {
		t.Errorf("%v", err)
	}
}
