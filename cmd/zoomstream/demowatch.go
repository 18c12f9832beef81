package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/natsconn"
)

// demo is what the parts of one demonstration share.
type demo struct {
	*process
	log      zerolog.Logger
	nats     *natsconn.Embedded
	listener net.Listener // of the simulated Zoom
	stored   int          // lines printed; read after watch has returned
}

// watch prints the messages of the stream as they are stored, and when the
// context ends those that are still to come.
func (d *demo) watch(ctx context.Context, cfg *config.Config) error {
	nc, err := nats.Connect("", nats.InProcessServer(d.nats.Server()), nats.Name("zoomstream demo: consumer"))
	if err != nil {
		return fmt.Errorf("connect the demo's consumer: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("connect the demo's consumer: %w", err)
	}
	stream, err := awaitStream(ctx, js, cfg.Stream)
	if err != nil {
		return nil // the connector has failed, and tells why
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if ctx.Err() != nil {
			return d.rest(stream, messages)
		}
		if err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		d.print(msg)
	}
}

// rest prints what is stored and not yet printed.
func (d *demo) rest(stream jetstream.Stream, messages jetstream.MessagesContext) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	info, err := stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	for d.stored < int(info.State.LastSeq) {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read the rest of the stream: %w", err)
		}
		d.print(msg)
	}
	return nil
}

func awaitStream(ctx context.Context, js jetstream.JetStream, name string) (jetstream.Stream, error) {
	for {
		stream, err := js.Stream(ctx, name)
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return stream, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// print shows one stored message: time, subject, lateness, place, id.
func (d *demo) print(msg jetstream.Msg) {
	d.stored++
	meta, err := msg.Metadata()
	if err != nil {
		return // not from a stream, which cannot be
	}
	fmt.Fprintf(d.stdout, "%s  %-48s %8s late  #%-5d %s\n", meta.Timestamp.Local().Format("15:04:05.000"), msg.Subject(),
		lateness(msg.Data(), meta.Timestamp), meta.Sequence.Stream, msg.Headers().Get(nats.MsgIdHdr))
}

// lateness is the time from the event to its storage. Some events do not say
// when they happened, or not in milliseconds.
func lateness(body []byte, stored time.Time) string {
	var event struct {
		At int64 `json:"event_ts"`
	}
	if json.Unmarshal(body, &event) != nil || event.At == 0 {
		return "?"
	}
	return stored.Sub(time.UnixMilli(event.At)).Round(time.Millisecond).String()
}
