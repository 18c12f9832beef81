package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/record"
)

// claim is a lease held during a check, so that no replica connects meanwhile, whose connection the
// check would close.
type claim struct {
	bucket   *kv.Bucket
	key      string
	revision uint64
	until    time.Time // by then the connection must have been told to end
	alive    *nats.Subscription
}

// goodbye is the time allowed for a connection to end after its context (2 s), and for releasing
// the lease.
const goodbye = 2250 * time.Millisecond

// takenError says that a replica took the lease first.
type takenError struct{ replica string }

func (e *takenError) Error() string { return "replica " + e.replica + " has just taken the lease" }

// take takes a lease that nobody holds, by compare-and-swap at the revision at which that was seen.
// It expires by itself like any other.
func take(ctx context.Context, s *site, c *config.Config, bucket *kv.Bucket, subscription string, revision uint64) (*claim, error) {
	host, _ := os.Hostname() // for people only
	nonce := nuid.Next()
	began := time.Now()
	value, err := json.Marshal(record.Lease{Replica: "doctor-" + c.Replica, Nonce: nonce, Host: host, PID: os.Getpid(), Since: began.UTC()})
	if err != nil {
		return nil, fmt.Errorf("encode the lease: %w", err)
	}
	// Replicas ask the holder whether it is alive, and take over from a dead one.
	alive, err := s.nc.Subscribe(record.ReplicaSubject(c.Bucket, nonce), func(m *nats.Msg) { m.Respond(nil) }) //nolint:errcheck // who asks, asks again
	if err != nil {
		return nil, err
	}
	held := &claim{bucket: bucket, key: record.LeasePrefix + subscription, alive: alive, until: began.Add(c.LeaseTTL - goodbye)}
	if err := held.write(ctx, value, nonce, revision, c.LeaseTTL); err != nil {
		alive.Unsubscribe() //nolint:errcheck // the connection ends soon
		return nil, err
	}
	return held, nil
}

// write writes the lease. After an error it reads the entry, since the write may have succeeded all
// the same.
func (c *claim) write(ctx context.Context, value []byte, nonce string, revision uint64, ttl time.Duration) error {
	written, err := c.bucket.Put(ctx, c.key, value, revision, ttl)
	if err == nil {
		c.revision = written
		return nil
	}
	entry, look := c.bucket.Get(ctx, c.key)
	if look != nil {
		return errors.Join(err, look)
	}
	holder, unread := record.ReadLease(entry.Value)
	if unread != nil { // or nobody holds it
		return err
	}
	if holder.Nonce != nonce {
		return &takenError{holder.Replica}
	}
	c.revision = entry.Revision
	return nil
}

var errExpiring = errors.New("the lease that was taken for the check is about to expire")

// permit is called right before the connection is opened.
func (c *claim) permit(context.Context) error {
	// Checks the wall clock as well, because the monotonic clock stops while a machine is
	// suspended.
	if now := time.Now(); now.Before(c.until) && now.Round(0).Before(c.until.Round(0)) {
		return nil
	}
	return errExpiring
}

// release releases the lease.
func (c *claim) release(ctx context.Context) error {
	defer c.alive.Unsubscribe() //nolint:errcheck // the connection ends soon
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	_, err := c.bucket.Purge(ctx, c.key, c.revision, kv.Purge{})
	return err
}
