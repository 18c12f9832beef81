// Package consumers finds the stream's consumers that are behind: how much they have not processed,
// how old the oldest such message is, whether a limit of the stream is about to remove it, and
// whether they keep receiving the same messages.
//
// Everything after the ack floor counts as unprocessed. A message that was given up (max_deliver)
// stays after the floor, and thus counts, as long as earlier ones are unacknowledged.
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

// Limits of one round.
const (
	maxNamed   = 100  // durable consumers listed; each may cost a lookup
	maxRead    = 4096 // consumers of all kinds
	maxFilters = 16   // filters of a consumer; each costs a lookup
	maxLookUps = 16   // consumers looked up concurrently
)

// Reader reads the consumers of one stream, once per call of Read. It is not safe for concurrent
// use.
type Reader struct {
	js     jetstream.JetStream
	stream string
	maxAge time.Duration    // of the stream, as of the latest round
	stalls map[string]stall // by consumer
}

// NewReader returns a Reader of a stream's consumers.
func NewReader(js jetstream.JetStream, stream string) *Reader {
	return &Reader{js: js, stream: stream}
}

// MaxAge returns the stream's max_age as of the latest round; 0: none, or unknown.
func (r *Reader) MaxAge() time.Duration { return r.maxAge }

// Read makes one round. If the NATS user may not list consumers, the error is a
// [status.DeniedError].
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
			for range list.Info() { // let its goroutine end
			}
			return all, nil
		}
	}
	if err := list.Err(); err != nil {
		subject := "CONSUMER.LIST." + r.stream
		// The server reports a refused request to the connection only, so the request itself times
		// out.
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

// position returns the stream sequence up to which a consumer has processed everything.
func position(info *jetstream.ConsumerInfo) uint64 {
	if info.NumAckPending == 0 { // or it acknowledges nothing
		return max(info.Delivered.Stream, info.AckFloor.Stream)
	}
	return info.AckFloor.Stream
}

// addOldest finds the oldest unprocessed message of a consumer.
func (r *Reader) addOldest(ctx context.Context, stream jetstream.Stream, info *jetstream.ConsumerInfo, c *status.Consumer) error {
	filters := filtersOf(&info.Config)
	if info.Config.DeliverPolicy == jetstream.DeliverLastPerSubjectPolicy || len(filters) > maxFilters {
		return nil // no cheap way to find it
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
	if oldest == nil { // processed or removed meanwhile
		return nil
	}
	age := max(0, info.TimeStamp.Sub(oldest.Time)) // both times are the server's
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

// losesBy names the limit that is about to remove a message: the message has reached 80 % of
// max_age, or it is in the oldest 10 % of a stream that is 90 % full.
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
