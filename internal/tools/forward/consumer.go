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
	// priorityGroup is the consumer's group whose pinned client gets the messages.
	priorityGroup = "forward"
	// endpointKey is the consumer's metadata key for the endpoint that it delivers to.
	endpointKey = "zoomstream-endpoint"
	// perLane is how many messages a lane may have in flight: while one is being delivered, the
	// next ones wait here.
	perLane = 8
	// maxWindows bounds the messages in flight, in multiples of the window.
	maxWindows = 4
)

// SetupError describes something existing in NATS that the delivery cannot work with.
type SetupError struct{ problem string }

func (e *SetupError) Error() string { return e.problem }

// window returns how many messages may be in flight.
func (f *forwarder) window() int {
	if f.Parallel == 1 {
		return 1 // then the server itself keeps the order
	}
	return perLane * f.Parallel
}

// leastAsked is the minimum number of messages per pull request. nats.go (1.55) does not ask again
// if a message arrives before it has recorded the request, and checks again only at the next
// message. With one message per request it would thus get nothing until the request expires. The
// consumer's MaxAckPending still limits what arrives to the window.
const leastAsked = 16

// asked returns the number of messages per pull request.
func (f *forwarder) asked() int { return max(leastAsked, f.window()) }

// ensureConsumer creates the consumer, or updates the existing one. It never changes the consumer's
// position in the stream.
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

// pinOf returns the pin of the instance that gets the messages; "": none.
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
			Msg("another instance gets the events; or it died, and this one takes over within seconds")
	}
}
