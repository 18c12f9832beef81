package httpserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	"github.com/zoomstream/zoomstream/internal/watch/page"
)

// searchBytes is roughly how many bytes of the stream a search reads at most.
const searchBytes = 64 << 20

// ofAnswer are the headers that the server adds to a message in its answer to a direct get
// (nats-server, ADR-31).
var ofAnswer = []string{"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp"}

// Message returns a whole message of the stream; the error is page.ErrNotThere if it does not
// exist. It is safe for concurrent use.
func (f *Feed) Message(ctx context.Context, seq uint64) (*page.Stored, error) {
	stream, err := f.stream(ctx)
	if err != nil {
		return nil, err
	}
	msg, err := stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, page.ErrNotThere
	}
	if err != nil {
		return nil, fmt.Errorf("read message %d of stream %s: %w", seq, f.Stream, err)
	}
	for _, name := range ofAnswer {
		msg.Header.Del(name)
	}
	return page.NewStored(msg.Sequence, msg.Subject, msg.Time, msg.Header, msg.Data), nil
}

// Search looks for events like zoomstream find, among the latest ones stored since a time. It is
// safe for concurrent use.
func (f *Feed) Search(ctx context.Context, what string, since time.Time) (*page.Found, error) {
	js, err := f.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer js.Conn().Close()
	stream, err := inspect.Open(ctx, js, f.Stream, f.Prefix)
	if err != nil {
		return nil, err
	}
	found, err := stream.Find(ctx, inspect.Query{What: what, Since: since, Limit: page.MaxFound, MaxBytes: searchBytes})
	if err != nil {
		return nil, err
	}
	result := &page.Found{Events: []page.Event{}, Malformed: []page.Event{}, Since: found.Since, Looked: found.Looked, LeftOut: found.LeftOut, More: found.More, Gaps: len(found.Gaps)}
	for _, m := range slices.Backward(found.Matches) {
		result.Events = append(result.Events, page.Event{
			Seq: m.Sequence, Subject: short(m.Subject), Event: short(m.Event), Subscription: short(m.Subscription), At: m.Hops.Stored, LateSeconds: m.Hops.EventToStored,
			ID: short(m.MessageID), Topic: topic(m.Body), Matched: m.Matched,
		})
	}
	for _, m := range slices.Backward(found.Malformed) {
		result.Malformed = append(result.Malformed, page.Event{Seq: m.Sequence, At: m.Stored, ID: short(m.MessageID), Malformed: true, Reason: short(m.Reason)})
	}
	return result, nil
}
