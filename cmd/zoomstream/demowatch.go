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

	"github.com/zoomstream/zoomstream/internal/sleep"
	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// demoPrefix is the prefix of all subjects.
const demoPrefix = "zoom"

// storedMessages is what the demo's consumer has read from the stream.
type storedMessages struct {
	messages, events, doubled int // used by the consumer's goroutine; others may read them after its end

	mu            sync.Mutex
	bodies, older map[zoomsim.Digest]int // how often each event is stored, for at least the latest demoMemory
	gap           message.Gap            // the latest
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
		s.bodies, s.older = make(map[zoomsim.Digest]int), s.bodies
	}
	digest := sha256.Sum256(body)
	if s.bodies[digest]+s.older[digest] > 0 {
		s.doubled++
	}
	s.bodies[digest]++
}

// times returns how often an event is stored.
func (s *storedMessages) times(body zoomsim.Digest) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies[body] + s.older[body]
}

func (s *storedMessages) lastGap() message.Gap {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gap
}

// watch prints the stream's messages as they are stored, and when ctx ends those still missing.
func (d *demo) watch(ctx context.Context) error {
	stream, err := d.awaitStream(ctx)
	if err != nil {
		return nil // the replicas have failed, and report why
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

// rest prints the stored messages that are not printed yet.
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
		if err := sleep.For(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// print shows one stored message: time, subject, latency, sequence.
func (d *demo) print(msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		return // cannot happen: it comes from a stream
	}
	d.stored.add(msg.Subject(), msg.Data(), meta.Timestamp)
	at, subject, place := meta.Timestamp.Local().Format("15:04:05.000"), zstatus.Visible(msg.Subject()), meta.Sequence.Stream
	paint := paintOf(d.stdout)
	kind := message.KindOf(demoPrefix, msg.Subject())
	if kind == message.KindEvent {
		late := fmt.Sprintf("%13s", lateness(msg.Data(), meta.Timestamp))
		fmt.Fprintf(d.stdout, "%s  %-*s %s  #%-5d\n", paint.Faint(at), demoSubject, cut(subject, demoSubject), paint.Faint(late), place)
		return
	}
	mark, end := paint.Warn, fmt.Sprintf("  #%d", place)
	if kind == message.KindGap {
		mark = paint.Bad
	}
	text := subject + "  " + zstatus.Visible(said(kind, msg.Headers(), msg.Data(), meta.Timestamp))
	fmt.Fprintf(d.stdout, "%s  %s\n", paint.Faint(at), mark(cut(text, demoWidth-len(at)-2-len(end))+end))
}

// said describes one of the bridge's own messages.
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

// lateness formats the time from the event to its storage. Some events have no time, or not in
// milliseconds.
func lateness(body []byte, stored time.Time) string {
	happened := message.Happened(body, stored)
	if happened.IsZero() {
		return "no event_ts"
	}
	return stored.Sub(happened).Round(time.Millisecond).String() + " late"
}
