package forward

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Options says what to deliver, and where.
type Options struct {
	Stream string
	Prefix string // prefix of the events' subjects

	Name  string   // of the delivery; see [CheckName]
	Moved bool     // this endpoint replaces the delivery's previous one
	To    *url.URL // the endpoint
	// Secret returns the endpoint's secret token. It must be safe for concurrent use.
	Secret    func() string
	UserAgent string

	Events   []string  // patterns of event names, with * and ?; none: all events
	Since    time.Time // where a new delivery starts; zero: with new events
	Parallel int       // number of lanes; 1: strictly in order
	Attempts int       // attempts per message before it is given up
	Timeout  time.Duration

	DeadReplicas int // replicas of the dead letters' stream when it is created
	Log          zerolog.Logger
	Metrics      prometheus.Registerer // gets the delivery's metrics; nil: none

	pace pace // zero: usualPace
}

// pace holds the durations that tests shorten.
type pace struct {
	firstPause, longestPause time.Duration // pauses between attempts
	ackWait                  time.Duration // how long the messages of a crashed instance are withheld
	pull                     time.Duration // expiry of a pull request
	stop                     time.Duration // how long to finish what is in flight at a stop
	loss                     time.Duration // interval of the checks for events that the stream has removed
}

var usualPace = pace{
	firstPause: time.Second, longestPause: time.Minute,
	ackWait: 15 * time.Second, pull: 3 * time.Second, stop: 10 * time.Second, loss: 10 * time.Second,
}

// pin is how long an instance may send no pull request before another one gets the messages.
func (p pace) pin() time.Duration { return 3 * p.pull }

// forwarder is one call of [Run] or [ResendDead].
type forwarder struct {
	Options
	nc       *nats.Conn
	js       jetstream.JetStream
	client   *http.Client
	progress progress
}

func newForwarder(js jetstream.JetStream, o Options) *forwarder {
	if o.pace == (pace{}) {
		o.pace = usualPace
	}
	f := &forwarder{Options: o, nc: js.Conn(), js: js, client: newClient(o.Timeout, o.Parallel)}
	f.progress.load.Store(new(load))
	if o.Metrics != nil {
		f.progress.register(o.Metrics, o.Name)
	}
	return f
}

// Run delivers until ctx ends. Then it finishes what is in flight, within a time limit, hands back
// the rest and returns nil.
func Run(ctx context.Context, js jetstream.JetStream, o Options) error {
	f := newForwarder(js, o)
	defer f.client.CloseIdleConnections()
	if err := f.ensureDeadStream(ctx); err != nil {
		return stopped(ctx, err)
	}
	consumer, err := f.ensureConsumer(ctx)
	if err != nil {
		return stopped(ctx, err)
	}
	return f.deliverAll(ctx, consumer)
}

// stopped drops an error that is due to the end of ctx.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}
