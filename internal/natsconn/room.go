package natsconn

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Room computes what an account has left for new streams. It answers as the server would, and
// creates nothing. It cannot know limits in the server's own configuration (max_file_store, the
// longest duplicate window).
type Room struct {
	Account   *jetstream.AccountInfo
	clustered bool
	planned   map[string]jetstream.StreamConfig // by name
}

// FindRoom reads the account's limits.
func FindRoom(ctx context.Context, js jetstream.JetStream) (*Room, error) {
	account, err := js.AccountInfo(ctx)
	if err != nil {
		return nil, err
	}
	return &Room{Account: account, clustered: js.Conn().ConnectedClusterName() != "", planned: make(map[string]jetstream.StreamConfig)}, nil
}

// Plan returns the error with which the server would refuse this stream after all those planned
// before, or nil if it would accept it.
func (r *Room) Plan(c jetstream.StreamConfig) error {
	refuse := func(code jetstream.ErrorCode, format string, args ...any) error {
		return &jetstream.APIError{Code: 400, ErrorCode: code, Description: fmt.Sprintf(format, args...)}
	}
	if c.Replicas > 1 && !r.clustered {
		return refuse(errNotClustered, "replicas > 1 not supported in non-clustered mode")
	}
	name, tier := r.tierOf(c), r.Account.Tier
	if name != "" {
		var known bool
		if tier, known = r.Account.Tiers[name]; !known {
			return refuse(errNoLimits, "no JetStream default or applicable tiered limit present")
		}
	}
	limits, streams, reserved := tier.Limits, tier.Streams, int64(tier.ReservedStore)
	for _, other := range r.planned {
		if other.Name != c.Name && r.tierOf(other) == name {
			streams++
			reserved += r.reserves(other)
		}
	}
	switch {
	case limits.MaxBytesRequired && c.MaxBytes <= 0:
		return refuse(errMaxBytesRequired, "account requires a stream config to have max bytes set")
	case limits.StoreMaxStreamBytes > 0 && c.MaxBytes > limits.StoreMaxStreamBytes:
		return refuse(errMaxBytesTooLarge, "stream max bytes exceeds account limit max stream bytes")
	case limits.MaxStreams > 0 && streams >= limits.MaxStreams:
		return refuse(errMaxStreams, "maximum number of streams reached")
	case limits.MaxStore >= 0 && reserved+max(r.reserves(c), 1) > limits.MaxStore:
		return refuse(errNoStorage, "insufficient storage resources available")
	}
	r.planned[c.Name] = c
	return nil
}

// tierOf returns the tier whose limits apply to a stream; "": the account's limits apply.
func (r *Room) tierOf(c jetstream.StreamConfig) string {
	if len(r.Account.Tiers) == 0 {
		return ""
	}
	return fmt.Sprintf("R%d", max(c.Replicas, 1))
}

// reserves returns how many bytes a stream takes from the limits: MaxBytes times its replicas, or
// MaxBytes alone if the limits are those of a tier.
func (r *Room) reserves(c jetstream.StreamConfig) int64 {
	if c.MaxBytes <= 0 {
		return 0
	}
	if r.tierOf(c) != "" {
		return c.MaxBytes
	}
	return c.MaxBytes * int64(max(c.Replicas, 1))
}

// StreamBytes returns wanted, or less if the account limits the size of a single stream.
func (r *Room) StreamBytes(wanted int64) int64 {
	limits := []jetstream.AccountLimits{r.Account.Limits}
	for _, tier := range r.Account.Tiers {
		limits = append(limits, tier.Limits)
	}
	for _, l := range limits {
		if l.StoreMaxStreamBytes > 0 {
			wanted = min(wanted, l.StoreMaxStreamBytes)
		}
	}
	return wanted
}
