// Package kv is JetStream's key-value store for callers that must not get outdated
// values: the leader of the bucket's stream answers reads, every write is a
// compare-and-swap on the revision, and an entry may have a TTL of its own.
//
// nats.go's KeyValue does not do that: any replica answers its Get, so a read right
// after a write may return the old value, and its Update drops an entry's TTL
// (https://github.com/nats-io/nats.go/issues/1994). The entries have the same format,
// so `nats kv` and nats.go can read them.
package kv

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/jsapi"
)

// Options of a bucket. They apply when it is created; an existing bucket is used as
// it is.
type Options struct {
	Name        string
	Description string
	Replicas    int
	MaxBytes    int64 // 0: DefaultMaxBytes
	TTLs        bool  // entries may have a TTL (needs nats-server 2.11)
	Log         zerolog.Logger
}

// DefaultMaxBytes is room for some 20,000 leases, or as many states. A bucket
// always has a maximum size: an account may require one for every stream, and
// reserve it.
const DefaultMaxBytes = 16 << 20

// Stream returns the configuration of the stream that holds a bucket with these
// options, as far as it matters for the limits of servers and accounts.
func (o Options) Stream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "KV_" + o.Name, Replicas: max(o.Replicas, 1), MaxBytes: cmp.Or(o.MaxBytes, DefaultMaxBytes), Storage: jetstream.FileStorage,
	}
}

// Bucket is a key-value bucket. It is safe for concurrent use.
type Bucket struct {
	js     jetstream.JetStream
	opt    Options
	making chan struct{}         // a lock: held while the bucket is created again
	lost   atomic.Pointer[error] // why the bucket, which is gone, could not be created again; nil: it exists, as far as is known
}

// Entry is what a bucket has under a key. An entry without a value was deleted or
// has expired (both leave a marker, which has a revision), or there is nothing under
// the key (revision 0).
type Entry struct {
	Revision uint64
	Value    []byte    // nil: none
	Written  time.Time // by the clock of a NATS server; only from Get
	Purged   bool      // it was deleted, rather than expired
	Purge    Purge     // what was given when it was purged
}

// Purge says more about a purge, in headers of its marker.
type Purge struct {
	Reason string // untrusted text; "": none was given
	Epoch  uint64 // of whoever purged; 0: none was given
}

func newBucket(js jetstream.JetStream, opt Options) *Bucket {
	return &Bucket{js: js, opt: opt, making: make(chan struct{}, 1)}
}

// Open returns the bucket, and creates it if it is missing. The error is ErrNoTTL if
// Options.TTLs is set and an existing bucket has no TTLs.
func Open(ctx context.Context, js jetstream.JetStream, opt Options) (*Bucket, error) {
	b, info, err := Find(ctx, js, opt)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		b = newBucket(js, opt)
		if err := b.create(ctx); err != nil {
			return nil, err
		}
		b, info, err = Find(ctx, js, opt)
	}
	if err != nil {
		return nil, err
	}
	if opt.TTLs && !info.Config.AllowMsgTTL {
		return nil, ErrNoTTL
	}
	return b, nil
}

// Find returns an existing bucket, whatever its configuration, and the stream that
// holds it. The error wraps jetstream.ErrBucketNotFound if there is none.
func Find(ctx context.Context, js jetstream.JetStream, opt Options) (*Bucket, *jetstream.StreamInfo, error) {
	b := newBucket(js, opt)
	stream, err := js.Stream(ctx, b.stream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil, fmt.Errorf("bucket %s: %w", opt.Name, jetstream.ErrBucketNotFound)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look at bucket %s: %w", opt.Name, err)
	}
	return b, stream.CachedInfo(), nil
}

// ErrNoTTL means that an existing bucket was created without TTLs per entry.
var ErrNoTTL = errors.New("the bucket's entries cannot have a TTL of their own")

func (b *Bucket) create(ctx context.Context) error {
	cfg := jetstream.KeyValueConfig{
		Bucket:      b.opt.Name,
		Description: b.opt.Description,
		History:     1, // with more, the server raises short TTLs
		Replicas:    b.opt.Replicas,
		MaxBytes:    b.opt.Stream().MaxBytes,
		Storage:     jetstream.FileStorage,
	}
	if b.opt.TTLs {
		cfg.LimitMarkerTTL = time.Second // also lets watchers see an expiry
	}
	_, err := b.js.CreateKeyValue(ctx, cfg)
	if err != nil && !errors.Is(err, jetstream.ErrBucketExists) {
		return fmt.Errorf("create bucket %s: %w", b.opt.Name, err)
	}
	return nil
}

// recreate creates the bucket again after JetStream reported it missing.
func (b *Bucket) recreate(ctx context.Context) error {
	select {
	case b.making <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-b.making }()
	if _, err := b.js.Stream(ctx, b.stream()); err == nil {
		return nil // somebody was faster
	}
	err := b.create(ctx)
	switch {
	case err == nil:
		b.lost.Store(nil)
		b.opt.Log.Warn().Str("code", "bucket.recreated").Str("bucket", b.opt.Name).Msg("the bucket was gone (deleted, or NATS came back without its data); it has been created again")
	case errors.Is(err, context.Canceled): // that means nothing
	case b.lost.Swap(&err) == nil:
		b.opt.Log.Error().Str("code", "bucket.gone").Err(err).Str("bucket", b.opt.Name).Msg("the bucket was deleted and cannot be created again; still trying")
	}
	return err
}

// noteFound records that the bucket exists.
func (b *Bucket) noteFound() {
	if b.lost.Load() != nil {
		b.lost.Store(nil)
	}
}

// Lost is why the bucket, which is gone, cannot be created again; nil: the bucket exists, as
// far as is known.
func (b *Bucket) Lost() error {
	if err := b.lost.Load(); err != nil {
		return *err
	}
	return nil
}

func (b *Bucket) stream() string             { return "KV_" + b.opt.Name }
func (b *Bucket) subject(key string) string  { return "$KV." + b.opt.Name + "." + key }
func (b *Bucket) describe(key string) string { return "bucket " + b.opt.Name + ", key " + key }

// Error codes of JetStream (nats-server, server/errors.json).
const (
	codeStreamNotFound = 10059
	codeNoMessage      = 10037
)

// Get reads an entry from the leader of the bucket's stream. An old leader that is
// isolated may still answer, so only a write proves anything. The zero Entry means
// that there is nothing under the key. If the bucket is gone, Get creates it again.
func (b *Bucket) Get(ctx context.Context, key string) (Entry, error) {
	request, err := json.Marshal(map[string]string{"last_by_subj": b.subject(key)})
	if err != nil {
		return Entry{}, fmt.Errorf("read %s: %w", b.describe(key), err)
	}
	msg, err := b.js.Conn().RequestWithContext(ctx, jsapi.Prefix(b.js)+"STREAM.MSG.GET."+b.stream(), request)
	if err != nil {
		return Entry{}, fmt.Errorf("read %s: %w", b.describe(key), err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return Entry{}, fmt.Errorf("read %s: %w", b.describe(key), err)
	}
	switch {
	case answer.Error == nil:
	case answer.Error.ErrorCode == codeNoMessage:
		b.noteFound()
		return Entry{}, nil
	case answer.Error.ErrorCode == codeStreamNotFound:
		return Entry{}, b.recreate(ctx)
	default:
		return Entry{}, fmt.Errorf("read %s: %w", b.describe(key), answer.Error)
	}
	b.noteFound()
	header, err := decodeHeader(answer.Message.Header)
	if err != nil {
		return Entry{}, fmt.Errorf("read %s: %w", b.describe(key), err)
	}
	e := entry(answer.Message.Sequence, header, answer.Message.Data)
	e.Written = answer.Message.Time
	return e, nil
}

// Age returns how long ago an entry was written, by the clocks of NATS' servers; 0: there is
// none.
func (b *Bucket) Age(ctx context.Context, key string) (time.Duration, error) {
	e, err := b.Get(ctx, key)
	if err != nil || e.Revision == 0 {
		return 0, err
	}
	stream, err := b.js.Stream(ctx, b.stream())
	if err != nil {
		return 0, fmt.Errorf("look at bucket %s: %w", b.opt.Name, err)
	}
	return stream.CachedInfo().TimeStamp.Sub(e.Written), nil
}

// The headers of a purge marker.
const (
	reasonHeader = "Zoomstream-Reason"
	epochHeader  = "Zoomstream-Epoch"
)

// entry decodes a message of the bucket's stream.
func entry(revision uint64, header nats.Header, data []byte) Entry {
	operation, marker := header.Get("KV-Operation"), header.Get("Nats-Marker-Reason")
	e := Entry{Revision: revision, Purged: operation != "" && marker == "", Purge: Purge{Reason: header.Get(reasonHeader)}}
	e.Purge.Epoch, _ = strconv.ParseUint(header.Get(epochHeader), 10, 64) // nonsense is no term's
	if operation == "" && marker == "" {
		e.Value = append([]byte{}, data...)
	}
	return e
}

func decodeHeader(raw []byte) (nats.Header, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	return nats.DecodeHeadersMsg(raw)
}

// Put writes an entry if its revision is still the expected one (0: there is
// nothing under the key), and returns the new revision. A TTL is in whole seconds;
// 0 means none.
//
// After an error the write may still have been made: a compare-and-swap error is
// often the answer to a repeated write whose acknowledgement was lost. Use Get to
// find out.
func (b *Bucket) Put(ctx context.Context, key string, value []byte, expected uint64, ttl time.Duration) (uint64, error) {
	msg := nats.NewMsg(jsapi.KVPrefix(b.js) + b.subject(key))
	msg.Data = value
	return b.publish(ctx, msg, key, expected, ttl)
}

// Purge removes an entry if its revision is still the expected one. It leaves a
// marker for a minute, so that watchers see the removal and what more is said of it. It
// returns the marker's revision. After an error the entry may still have been removed, as
// with Put.
func (b *Bucket) Purge(ctx context.Context, key string, expected uint64, more Purge) (uint64, error) {
	const marker = time.Minute
	msg := nats.NewMsg(jsapi.KVPrefix(b.js) + b.subject(key))
	msg.Header.Set("KV-Operation", "PURGE")
	msg.Header.Set("Nats-Rollup", "sub")
	if more.Reason != "" {
		msg.Header.Set(reasonHeader, more.Reason)
	}
	if more.Epoch > 0 {
		msg.Header.Set(epochHeader, strconv.FormatUint(more.Epoch, 10))
	}
	return b.publish(ctx, msg, key, expected, marker)
}

func (b *Bucket) publish(ctx context.Context, msg *nats.Msg, key string, expected uint64, ttl time.Duration) (uint64, error) {
	options := []jetstream.PublishOpt{
		jetstream.WithExpectStream(b.stream()), jetstream.WithExpectLastSequencePerSubject(expected), jetstream.WithRetryAttempts(0),
	}
	if ttl > 0 {
		options = append(options, jetstream.WithMsgTTL(ttl))
	}
	ack, err := b.js.PublishMsg(ctx, msg, options...)
	if err != nil {
		return 0, fmt.Errorf("write %s at revision %d: %w", b.describe(key), expected, err)
	}
	b.noteFound()
	return ack.Sequence, nil
}
