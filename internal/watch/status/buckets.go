package status

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/jsapi"
	"github.com/zoomstream/zoomstream/internal/record"
)

// bucketPatience bounds the wait for the buckets: a cluster that is electing a leader does not
// answer.
const bucketPatience = 2 * time.Second

// buckets holds what NATS stores about the subscriptions, whichever replicas answer.
type buckets struct {
	leaseKeys, stateKeys map[string]bool // subscriptions that have an entry; nil: unknown

	leases map[string]record.Lease // held leases among the entries read
	states map[string]record.State // entries read
	errs   []error                 // why something is unknown
}

var errNoBucket = errors.New("there is no such bucket")

// listBuckets finds the subscriptions that have an entry.
func listBuckets(ctx context.Context, js jetstream.JetStream, bucket string) (b buckets) {
	ctx, cancel := context.WithTimeout(ctx, bucketPatience)
	defer cancel()
	var err error
	if b.leaseKeys, err = keysOf(ctx, js, bucket, record.LeasePrefix); err != nil {
		b.errs = append(b.errs, fmt.Errorf("bucket %s (the leases): %w", bucket, err))
		if !errors.Is(err, errNoBucket) {
			return b // the other bucket would fail in the same way, after the same wait
		}
	}
	if b.stateKeys, err = keysOf(ctx, js, record.StateBucket(bucket), record.StatePrefix); err != nil {
		b.errs = append(b.errs, fmt.Errorf("bucket %s (the states): %w", record.StateBucket(bucket), err))
	}
	return b
}

// read reads the entries of the given subscriptions.
func (b buckets) read(ctx context.Context, js jetstream.JetStream, bucket string, some map[string]bool) buckets {
	ctx, cancel := context.WithTimeout(ctx, bucketPatience)
	defer cancel()
	b.leases, b.states = make(map[string]record.Lease), make(map[string]record.State)
	leases, err := readBucket(ctx, js, bucket, record.LeasePrefix, common(b.leaseKeys, some))
	if err != nil {
		b.errs = append(b.errs, fmt.Errorf("bucket %s (the leases): %w", bucket, err))
		return b
	}
	for subscription, e := range leases {
		held, err := record.ReadLease(e.value)
		if err != nil {
			held = record.Lease{Replica: record.Unknown} // treated as a holder that never answers
		}
		held.Epoch = cmp.Or(held.Epoch, e.revision) // the revision of the term's first write
		b.leases[subscription] = held
	}
	states, err := readBucket(ctx, js, record.StateBucket(bucket), record.StatePrefix, common(b.stateKeys, some))
	if err != nil {
		b.errs = append(b.errs, fmt.Errorf("bucket %s (the states): %w", record.StateBucket(bucket), err))
		return b
	}
	for subscription, e := range states {
		if state, _, err := record.ReadState(e.value, subscription, time.Now()); err == nil {
			b.states[subscription] = state
		}
	}
	return b
}

func common(a, b map[string]bool) (both []string) {
	for key := range a {
		if b[key] {
			both = append(both, key)
		}
	}
	return both
}

type entry struct {
	revision uint64
	value    []byte
}

// keysOf lists the keys with a prefix, with the prefix removed. It needs no consumer, and no
// permission to create one.
func keysOf(ctx context.Context, js jetstream.JetStream, bucket, prefix string) (map[string]bool, error) {
	start := "$KV." + bucket + "." + prefix
	subjects, err := subjectsOf(ctx, js, "KV_"+bucket, start+">")
	if err != nil {
		return nil, err
	}
	keys := make(map[string]bool)
	for _, subject := range slices.Sorted(maps.Keys(subjects)) {
		if key := strings.TrimPrefix(subject, start); record.IsSubscription(key) && len(keys) < maxList {
			keys[key] = true
		}
	}
	return keys, nil
}

// readAtOnce is the number of entries requested at a time.
const readAtOnce = 64

// readBucket reads the entries with the given keys.
func readBucket(ctx context.Context, js jetstream.JetStream, bucket, prefix string, keys []string) (map[string]entry, error) {
	entries := make(map[string]entry, len(keys))
	for some := range slices.Chunk(keys, readAtOnce) {
		if err := readEntries(ctx, js, bucket, prefix, some, entries); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// readEntries requests the given entries all at once and adds them to a map.
func readEntries(ctx context.Context, js jetstream.JetStream, bucket, prefix string, keys []string, entries map[string]entry) error {
	nc, subjects := js.Conn(), "$KV."+bucket+"."+prefix
	answers := make(chan *nats.Msg, len(keys)+1)
	sub, err := nc.ChanSubscribe(nc.NewInbox(), answers)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is broken
	get, before := jsapi.Prefix(js)+"DIRECT.GET.KV_"+bucket+".", nc.LastError()
	for _, key := range keys {
		if err := nc.PublishRequest(get+subjects+key, sub.Subject, nil); err != nil {
			return err
		}
	}
	if err := settle(ctx, nc, get, before); err != nil {
		return err
	}
	for range keys {
		select {
		case <-ctx.Done():
			return fmt.Errorf("read its entries: %w", context.Cause(ctx))
		case msg := <-answers:
			switch status := msg.Header.Get("Status"); {
			case status == "404": // deleted meanwhile
			case status != "":
				return fmt.Errorf("read its entries: status %s %s", status, msg.Header.Get("Description"))
			case msg.Header.Get("KV-Operation") != "" || msg.Header.Get("Nats-Marker-Reason") != "": // deleted or expired
			default:
				revision, _ := strconv.ParseUint(msg.Header.Get("Nats-Sequence"), 10, 64) // 0: not given by the server
				entries[strings.TrimPrefix(msg.Header.Get("Nats-Subject"), subjects)] = entry{revision, msg.Data}
			}
		}
	}
	return nil
}

// Error codes of JetStream (nats-server, server/errors.json).
const (
	codeStreamNotFound = 10059
	codeNoJetStream    = 10039 // for this account
)

// ErrNoJetStream says that no stream can be reached.
var ErrNoJetStream = errors.New("JetStream is not available: this NATS server or account has none, or it is not up")

func subjectsOf(ctx context.Context, js jetstream.JetStream, stream, filter string) (map[string]uint64, error) {
	request, err := json.Marshal(map[string]string{"subjects_filter": filter})
	if err != nil {
		return nil, err
	}
	subject := jsapi.Prefix(js) + "STREAM.INFO." + stream
	msg, err := ask(ctx, js.Conn(), subject, request)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, jsapi.AtPlace(js, ErrNoJetStream)
	}
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		State struct {
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return nil, fmt.Errorf("read about it: %w", err)
	}
	switch {
	case answer.Error == nil:
		return answer.State.Subjects, nil
	case answer.Error.ErrorCode == codeStreamNotFound:
		return nil, errNoBucket
	case answer.Error.ErrorCode == codeNoJetStream:
		return nil, jsapi.AtPlace(js, ErrNoJetStream)
	default:
		return nil, fmt.Errorf("read about it: %w", answer.Error)
	}
}

// ask sends a request and returns the answer. It notices at once if the server refuses the request.
func ask(ctx context.Context, nc *nats.Conn, subject string, body []byte) (*nats.Msg, error) {
	answers := make(chan *nats.Msg, 1)
	sub, err := nc.ChanSubscribe(nc.NewInbox(), answers)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is broken
	if err := publish(ctx, nc, subject, sub.Subject, body); err != nil {
		return nil, err
	}
	select {
	case msg := <-answers:
		if unanswered(msg) {
			return nil, nats.ErrNoResponders
		}
		return msg, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("JetStream does not answer: %w", context.Cause(ctx))
	}
}

// publish sends a request and fails if the server refuses it to this user.
func publish(ctx context.Context, nc *nats.Conn, subject, reply string, body []byte) error {
	before := nc.LastError()
	if err := nc.PublishRequest(subject, reply, body); err != nil {
		return err
	}
	return settle(ctx, nc, subject, before)
}

// settle waits until the server has processed what was published, and fails if it refused a subject
// with this prefix. The only trace of a refusal is the connection's last error, which the server
// sends before it answers the ping of a flush.
func settle(ctx context.Context, nc *nats.Conn, subject string, before error) error {
	if err := nc.FlushWithContext(ctx); err != nil {
		return err
	}
	err := nc.LastError()
	if errors.Is(err, nats.ErrPermissionViolation) && err != before && strings.Contains(strings.ToLower(err.Error()), strings.ToLower(subject)) {
		return &DeniedError{Subject: subject}
	}
	return nil
}

// DeniedError says that the NATS user may not publish to a subject.
type DeniedError struct{ Subject string }

func (e *DeniedError) Error() string {
	return "this NATS user may not publish to " + e.Subject
}

// unanswered reports whether msg is the server's notice that nobody listens.
func unanswered(msg *nats.Msg) bool {
	return len(msg.Data) == 0 && msg.Header.Get("Status") == "503"
}
