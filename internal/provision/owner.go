package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/record"
)

// ownerKey is the key of the entry in the states bucket that marks a stream as somebody else's.
// Only its presence counts; its value is for people.
func ownerKey(stream string) string { return record.StreamPrefix + stream }

type ownerNote struct {
	Stream string `json:"stream"`
	Note   string `json:"note"`
}

// RecordOwner records in the states bucket whether the stream is somebody else's. The record
// outlives the stream and this process: when such a stream is deleted, the next run must not create
// it either.
func RecordOwner(ctx context.Context, states *kv.Bucket, stream jetstream.StreamConfig) error {
	key := ownerKey(stream.Name)
	entry, err := states.Get(ctx, key)
	if err != nil {
		return err
	}
	switch ours, noted := natsconn.Ours(stream), entry.Value != nil; {
	case ours && noted:
		_, err = states.Purge(ctx, key, entry.Revision, kv.Purge{})
	case !ours && !noted:
		var value []byte
		value, err = json.Marshal(ownerNote{Stream: stream.Name, Note: "not made by zoomstream; while this entry is here, zoomstream does not create it"})
		if err != nil {
			return fmt.Errorf("encode %s: %w", key, err)
		}
		_, err = states.Put(ctx, key, value, entry.Revision, 0)
	}
	return err
}

// foreign reports whether the missing stream was somebody else's.
func (s *Survey) foreign(ctx context.Context) (bool, error) {
	bucket, _, err := kv.Find(ctx, s.js, states(s.o.Config, s.Room))
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	entry, err := bucket.Get(ctx, ownerKey(s.o.Config.Stream))
	return entry.Value != nil, err
}
