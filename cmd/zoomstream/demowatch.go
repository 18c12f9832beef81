package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// demoPrefix begins all subjects.
const demoPrefix = "zoom"

// storedMessages is what the consumer has read from the stream.
type storedMessages struct {
	messages, events int // the consumer's own; to be read after its end

	mu            sync.Mutex
	bodies, older map[zoomsim.Digest]bool // of the latest events, at least demoMemory
	gap           message.Gap             // the latest
}

func (s *storedMessages) add(subject string, body []byte, stored time.Time) {
	s.messages++
	s.mu.Lock()
	defer s.mu.Unlock()
	switch message.KindOf(demoPrefix, subject) {
	case message.KindEvent:
	case message.KindGap:
		if gap, err := message.ParseGap(body, stored); err == nil {
			s.gap = gap
		}
		return
	default:
		return
	}
	s.events++
	if s.bodies == nil || len(s.bodies) >= demoMemory {
		s.bodies, s.older = make(map[zoomsim.Digest]bool), s.bodies
	}
	s.bodies[sha256.Sum256(body)] = true
}

func (s *storedMessages) has(body zoomsim.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies[body] || s.older[body]
}

func (s *storedMessages) lastGap() message.Gap {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gap
}

// watch prints the messages of the stream as they are stored, and when the
// context ends those that are still to come.
func (d *demo) watch(ctx context.Context) error {
	stream, err := d.awaitStream(ctx)
	if err != nil {
		return nil // the replicas have failed, and tell why
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
	for d.stored.messages < int(info.State.LastSeq) {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read the rest of the stream: %w", err)
		}
		d.print(msg)
	}
	return nil
}

func (d *demo) awaitStream(ctx context.Context) (jetstream.Stream, error) {
	for {
		stream, err := d.js.Stream(ctx, "ZOOM")
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return stream, err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// print shows one stored message: time, subject, lateness, place, id.
func (d *demo) print(msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		return // not from a stream, which cannot be
	}
	d.stored.add(msg.Subject(), msg.Data(), meta.Timestamp)
	at, subject := meta.Timestamp.Local().Format("15:04:05.000"), zstatus.Visible(msg.Subject())
	if kind := message.KindOf(demoPrefix, msg.Subject()); kind != message.KindEvent {
		fmt.Fprintf(d.stdout, "%s  %-48s %s  #%d\n", at, subject, zstatus.Visible(said(kind, msg.Headers(), msg.Data(), meta.Timestamp)), meta.Sequence.Stream)
		return
	}
	fmt.Fprintf(d.stdout, "%s  %-48s %8s late  #%-5d %s\n", at, subject,
		lateness(msg.Data(), meta.Timestamp), meta.Sequence.Stream, zstatus.Visible(message.ParseHeaders(msg.Headers()).ID))
}

// said tells what a message of the bridge's own says.
func said(kind message.Kind, header nats.Header, body []byte, stored time.Time) string {
	switch kind {
	case message.KindGap:
		if g, err := message.ParseGap(body, stored); err == nil {
			return fmt.Sprintf("%d ms without a connection: %s", g.Milliseconds, g.Cause)
		}
	case message.KindAlarm:
		a, err := message.ParseAlarm(body, stored)
		switch {
		case err != nil:
		case a.Raised:
			return fmt.Sprintf("%s: %s is raised: %s", a.Replica, a.Name, a.Detail)
		default:
			return fmt.Sprintf("%s: %s is over", a.Replica, a.Name)
		}
	}
	return message.ParseMalformed(header, nil).Reason
}

// lateness is the time from the event to its storage. Some events do not say when they
// happened, or not in milliseconds.
func lateness(body []byte, stored time.Time) string {
	happened := message.Happened(body, stored)
	if happened.IsZero() {
		return "?"
	}
	return stored.Sub(happened).Round(time.Millisecond).String()
}

// pause returns an error if the context ends before it does.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
