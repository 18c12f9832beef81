// Package lease records in NATS KV which replica holds a subscription.
//
// Bucket <bucket>, key lease.<subscription>, value JSON ([Record]). The entry
// expires by itself ([Options].TTL, carried by the Nats-TTL header, which needs
// nats-server 2.11 or newer). The revision of the entry is the epoch: it grows
// with every claim, whoever makes it, so that consumers can tell the messages
// of an earlier holder from those of a later one.
//
// A claim does not ask whether somebody else holds the subscription.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Options of the bucket. They count when it is created; an existing bucket is
// used as it is.
type Options struct {
	Bucket   string
	Replicas int
	TTL      time.Duration // of an entry; the server counts whole seconds
}

// Record is the value of an entry.
type Record struct {
	Replica string    `json:"replica"`
	Nonce   string    `json:"nonce"` // differs with every claim
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Since   time.Time `json:"since"`
}

// Store is the bucket. It is safe for concurrent use.
type Store struct {
	js  jetstream.JetStream
	opt Options
}

// Open returns the bucket, creating it if it is missing.
func Open(ctx context.Context, js jetstream.JetStream, opt Options) (*Store, error) {
	_, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:         opt.Bucket,
		Description:    "zoomstream: which replica holds each subscription",
		History:        1, // with more, the server raises short TTLs
		LimitMarkerTTL: time.Second,
		Replicas:       opt.Replicas,
		Storage:        jetstream.FileStorage,
	})
	if err != nil && !errors.Is(err, jetstream.ErrBucketExists) {
		return nil, fmt.Errorf("create the lease bucket %s: %w", opt.Bucket, err)
	}
	return &Store{js: js, opt: opt}, nil
}

// Claim writes that a replica holds a subscription from now on, and returns
// the epoch.
func (s *Store) Claim(ctx context.Context, subscription, replica string) (epoch uint64, err error) {
	host, _ := os.Hostname() // only for people
	value, err := json.Marshal(Record{Replica: replica, Nonce: nuid.Next(), Host: host, PID: os.Getpid(), Since: time.Now().UTC()})
	if err != nil {
		return 0, fmt.Errorf("encode the lease: %w", err)
	}
	msg := nats.NewMsg("$KV." + s.opt.Bucket + ".lease." + subscription)
	msg.Data = value
	ack, err := s.js.PublishMsg(ctx, msg, jetstream.WithMsgTTL(s.opt.TTL))
	if err != nil {
		return 0, fmt.Errorf("claim subscription %s in bucket %s: %w", subscription, s.opt.Bucket, err)
	}
	return ack.Sequence, nil
}
