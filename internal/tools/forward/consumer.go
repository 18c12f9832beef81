package forward

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	"github.com/zoomstream/zoomstream/internal/webhook"
)

const (
	// priorityGroup is the one whose pinned client gets the messages.
	priorityGroup = "forward"
	// endpointKey is the consumer's note of where it delivers.
	endpointKey = "zoomstream-endpoint"
	// perLane is how many messages a lane may have in flight: while one is on its way, the next ones wait here.
	perLane = 8
	// maxWindows bounds what is in flight, in windows.
	maxWindows = 4
)

// SetupError says what is there in NATS that a delivery cannot work with.
type SetupError struct{ problem string }

func (e *SetupError) Error() string { return e.problem }

// window is how many messages may be in flight.
func (f *forwarder) window() int {
	if f.Parallel == 1 {
		return 1 // the server itself keeps the order then
	}
	return perLane * f.Parallel
}

// leastAsked is how many messages are asked for at a time at least. nats.go (1.55) asks for no more
// if a message comes before it has noted that it asked for that one, and looks again only when the
// next one comes: who asks for one at a time then gets nothing until the request has expired. The
// window bounds what comes, by the consumer's MaxAckPending.
const leastAsked = 16

// asked is how many messages are asked for at a time.
func (f *forwarder) asked() int { return max(leastAsked, f.window()) }

// ensureConsumer creates the consumer, or adapts the one that is there. Where that is in the
// stream is never changed.
func (f *forwarder) ensureConsumer(ctx context.Context) (jetstream.Consumer, error) {
	name := consumerName(f.Name)
	cfg := f.consumerConfig()
	there, err := f.js.Consumer(ctx, f.Stream, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("there is no stream %s at %s; zoomstream creates it when it runs: check ZOOMSTREAM_STREAM, and NATS_URL or NATS_CONTEXT", f.Stream, f.nc.ConnectedAddr())
	}
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, f.consumerError(err)
	}
	if err == nil {
		was := there.CachedInfo().Config
		switch {
		case was.Metadata[endpointKey] == "" || was.AckPolicy != jetstream.AckExplicitPolicy:
			return nil, &SetupError{fmt.Sprintf("stream %s has a consumer %s that zoomstream did not make; give another --name", f.Stream, name)}
		case was.Metadata[endpointKey] != cfg.Metadata[endpointKey] && !f.Moved:
			return nil, &SetupError{fmt.Sprintf("consumer %s of stream %s delivers to another endpoint; give another --name, or --moved if this one takes its place", name, f.Stream)}
		}
		cfg.DeliverPolicy, cfg.OptStartTime, cfg.OptStartSeq = was.DeliverPolicy, was.OptStartTime, was.OptStartSeq
		cfg.MaxWaiting, cfg.Replicas, cfg.MemoryStorage = was.MaxWaiting, was.Replicas, was.MemoryStorage
	}
	consumer, err := f.js.CreateOrUpdateConsumer(ctx, f.Stream, cfg)
	if err != nil {
		return nil, f.consumerError(err)
	}
	f.logBegin(consumer.CachedInfo(), there != nil)
	return consumer, nil
}

func (f *forwarder) consumerError(err error) error {
	return fmt.Errorf("consumer %s of stream %s: %w", consumerName(f.Name), f.Stream, err)
}

func (f *forwarder) consumerConfig() jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable: consumerName(f.Name), Description: "zoomstream forward", Metadata: map[string]string{endpointKey: fingerprint(f.To)},
		DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckExplicitPolicy, AckWait: f.pace.ackWait, MaxDeliver: -1, MaxAckPending: f.window(),
		PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{priorityGroup}, PinnedTTL: f.pace.pin(),
	}
	if !f.Since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &f.Since
	}
	cfg.FilterSubjects = []string{f.Prefix + ".>"}
	if len(f.Events) > 0 {
		cfg.FilterSubjects = inspect.EventSubjects(f.Prefix, f.Events)
	}
	if len(cfg.FilterSubjects) == 1 {
		cfg.FilterSubject, cfg.FilterSubjects = cfg.FilterSubjects[0], nil
	}
	return cfg
}

// pinOf is the pin of the instance that gets the messages; "": none.
func pinOf(info *jetstream.ConsumerInfo) string {
	i := slices.IndexFunc(info.PriorityGroups, func(g jetstream.PriorityGroupState) bool { return g.Group == priorityGroup })
	if i < 0 {
		return ""
	}
	return info.PriorityGroups[i].PinnedClientID
}

func (f *forwarder) logBegin(info *jetstream.ConsumerInfo, there bool) {
	f.Log.Info().Str("code", "forward.begun").Str("name", f.Name).Str("consumer", info.Name).Str("to", webhook.Host(f.To)).Int("parallel", f.Parallel).
		Bool("new", !there).Uint64("pending", info.NumPending).Int("in_doubt", info.NumAckPending).Msg("delivering events to the endpoint")
	if pinOf(info) != "" {
		f.Log.Info().Str("code", "forward.standby").Str("name", f.Name).
			Msg("another instance gets the events; or it ended without a word, and this one takes over in some seconds")
	}
}
