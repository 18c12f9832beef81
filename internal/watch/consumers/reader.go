// Package consumers sees which consumers of the stream are behind: how much they have not
// processed, how old the oldest of that is, whether a limit of the stream is about to
// remove it, and whether they get the same messages again and again.
//
// What is unprocessed begins behind the ack floor. A message that was given up
// (max_deliver) stays there as long as others are unacknowledged, and counts.
package consumers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/zoomstream/zoomstream/internal/jsapi"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// Bounds of a round.
const (
	maxNamed   = 100  // durable consumers, each of which may cost a look-up
	maxRead    = 4096 // consumers of all kinds
	maxFilters = 16   // of a consumer, each of which costs a look-up
	maxLookUps = 16   // consumers that are looked up at once
)

// Reader reads the consumers of one stream, round by round. It is not safe for concurrent use.
type Reader struct {
	js     jetstream.JetStream
	stream string
	maxAge time.Duration    // of the stream, at the latest round
	stalls map[string]stall // by consumer
}

// NewReader returns a Reader of a stream's consumers.
func NewReader(js jetstream.JetStream, stream string) *Reader {
	return &Reader{js: js, stream: stream}
}

// MaxAge is the stream's as the latest round found it; 0: it has none, or is not known.
func (r *Reader) MaxAge() time.Duration { return r.maxAge }

// Read is one round. If the NATS user may not list consumers, the error is a [status.DeniedError].
func (r *Reader) Read(ctx context.Context) (*status.Consumers, error) {
	stream, err := r.js.Stream(ctx, r.stream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", r.stream, err)
	}
	r.maxAge = stream.CachedInfo().Config.MaxAge
	all, err := r.list(ctx, stream)
	if err != nil {
		return nil, err
	}
	durable := slices.DeleteFunc(slices.Clone(all), func(c *jetstream.ConsumerInfo) bool { return c.Config.Durable == "" })
	now := time.Now()
	stuck := r.follow(durable, now)
	report := &status.Consumers{At: now.UTC(), Durable: []status.Consumer{}, Ephemeral: len(all) - len(durable)}
	slices.SortFunc(durable, func(a, b *jetstream.ConsumerInfo) int { // the furthest behind first
		return cmp.Or(compareBehind(a, b), strings.Compare(a.Name, b.Name))
	})
	if len(durable) > maxNamed {
		report.More = len(durable) - maxNamed
		durable = durable[:maxNamed]
	}
	report.Durable = make([]status.Consumer, len(durable))
	failed := make([]error, len(durable))
	var lookUps errgroup.Group
	lookUps.SetLimit(maxLookUps)
	for i, info := range durable {
		c := &report.Durable[i]
		*c = status.Consumer{
			Name: info.Name, Pending: info.NumPending, Unacknowledged: info.NumAckPending, Redelivered: info.NumRedelivered, Stuck: stuck[info.Name].Seconds(),
		}
		if behind(info) {
			lookUps.Go(func() error {
				failed[i] = r.addOldest(ctx, stream, info, c)
				return nil
			})
		}
	}
	lookUps.Wait() //nolint:errcheck // failed has them
	if failed = slices.DeleteFunc(failed, func(err error) bool { return err == nil }); len(failed) > 0 {
		report.Trouble = fmt.Sprintf("the oldest unprocessed message of %d consumers cannot be read: %v", len(failed), failed[0])
	}
	slices.SortFunc(report.Durable, func(a, b status.Consumer) int { return strings.Compare(a.Name, b.Name) })
	return report, nil
}

// list reads the stream's consumers, at most maxRead of them.
func (r *Reader) list(ctx context.Context, stream jetstream.Stream) (all []*jetstream.ConsumerInfo, err error) {
	before := r.js.Conn().LastError()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if all = append(all, info); len(all) == maxRead {
			cancel()
			for range list.Info() { // ends its goroutine
			}
			return all, nil
		}
	}
	if err := list.Err(); err != nil {
		subject := "CONSUMER.LIST." + r.stream
		// The server refuses a request to the connection alone, so the request times out.
		if last := r.js.Conn().LastError(); last != before && errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), subject) {
			return nil, &status.DeniedError{Subject: jsapi.Prefix(r.js) + subject}
		}
		return nil, fmt.Errorf("consumers of stream %s: %w", r.stream, err)
	}
	return all, nil
}

func behind(info *jetstream.ConsumerInfo) bool { return info.NumPending > 0 || info.NumAckPending > 0 }

func compareBehind(a, b *jetstream.ConsumerInfo) int {
	switch {
	case behind(a) != behind(b):
		if behind(a) {
			return -1
		}
		return 1
	case behind(a):
		return cmp.Compare(position(a), position(b))
	}
	return 0
}

// position is up to which message of the stream a consumer has processed all.
func position(info *jetstream.ConsumerInfo) uint64 {
	if info.NumAckPending == 0 { // or it acknowledges nothing
		return max(info.Delivered.Stream, info.AckFloor.Stream)
	}
	return info.AckFloor.Stream
}

// addOldest finds the oldest message that a consumer has not processed.
func (r *Reader) addOldest(ctx context.Context, stream jetstream.Stream, info *jetstream.ConsumerInfo, c *status.Consumer) error {
	filters := filtersOf(&info.Config)
	if info.Config.DeliverPolicy == jetstream.DeliverLastPerSubjectPolicy || len(filters) > maxFilters {
		return nil // nobody can say cheaply
	}
	var oldest *jetstream.RawStreamMsg
	for _, filter := range filters {
		msg, err := stream.GetMsg(ctx, position(info)+1, jetstream.WithGetMsgSubject(filter))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
		case err != nil:
			return err
		case oldest == nil || msg.Sequence < oldest.Sequence:
			oldest = msg
		}
	}
	if oldest == nil { // it was processed, or removed, meanwhile
		return nil
	}
	age := max(0, info.TimeStamp.Sub(oldest.Time)) // both are the server's
	c.Sequence, c.Oldest = oldest.Sequence, age.Seconds()
	in := stream.CachedInfo()
	if in.Config.MaxAge > 0 {
		c.LosesIn = max(0, in.Config.MaxAge-age).Seconds()
	}
	c.LosesBy = losesBy(in, oldest.Sequence, age)
	return nil
}

func filtersOf(c *jetstream.ConsumerConfig) []string {
	if len(c.FilterSubjects) > 0 {
		return c.FilterSubjects
	}
	return []string{cmp.Or(c.FilterSubject, ">")}
}

// losesBy names the limit that is about to remove a message: its age has used up four
// fifths of max_age, or it is in the oldest tenth of a stream that is nine tenths full.
func losesBy(stream *jetstream.StreamInfo, sequence uint64, age time.Duration) string {
	c, s := stream.Config, stream.State
	if c.MaxAge > 0 && age >= c.MaxAge/5*4 {
		return status.LimitAge
	}
	if c.Discard != jetstream.DiscardOld || sequence > s.FirstSeq+(s.LastSeq-s.FirstSeq)/10 {
		return ""
	}
	switch {
	case c.MaxBytes > 0 && float64(s.Bytes) >= 0.9*float64(c.MaxBytes):
		return status.LimitBytes
	case c.MaxMsgs > 0 && float64(s.Msgs) >= 0.9*float64(c.MaxMsgs):
		return status.LimitMsgs
	}
	return ""
}
