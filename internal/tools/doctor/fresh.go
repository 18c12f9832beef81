package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/message"
)

const (
	pingWait     = 500 * time.Millisecond  // for an answer to a ping of the micro service
	presenceWait = 1500 * time.Millisecond // a replica announces itself once a second
)

// traces are signs that zoomstream is, or was, on a NATS without the bucket of leases: with another
// bucket, a replica may be connected.
type traces struct {
	found   []string
	unknown string // why there may be more; "": everything was checked
}

// fresh reports whether this NATS certainly knows of no zoomstream.
func (t traces) fresh() bool { return len(t.found) == 0 && t.unknown == "" }

// traces looks for such signs.
func (e *exam) traces(ctx context.Context, s *site) (t traces) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if s.stream.exists {
		t.found = append(t.found, "stream "+e.cfg.Stream+" is there")
	}
	if s.states.exists {
		t.found = append(t.found, "bucket "+record.StateBucket(e.cfg.Bucket)+" is there")
	}
	pairs, err := bucketPairs(ctx, s)
	t.found = append(t.found, pairs...)
	replicas, heard, heardErr := anyReplica(ctx, s, len(t.found) == 0)
	t.found = append(t.found, replicas...)
	switch {
	case !s.stream.known, !s.states.known:
		t.unknown = "not everything that could tell was visible"
	case err != nil:
		t.unknown = err.Error()
	case heardErr != nil:
		t.unknown = heardErr.Error()
	case !heard:
		t.unknown = "this user may not hear replicas"
	}
	return t
}

// bucketPairs finds pairs of buckets whose names fit zoomstream.
func bucketPairs(ctx context.Context, s *site) (found []string, err error) {
	if !s.may("STREAM.NAMES") {
		return nil, nil // the missing permission is reported with the stream
	}
	all := make(map[string]bool)
	names := s.js.StreamNames(ctx, jetstream.WithStreamListSubject("$KV.>"))
	for name := range names.Name() {
		all[name] = true
	}
	for name := range all {
		if all[record.StateBucket(name)] {
			bucket := strings.TrimPrefix(name, "KV_")
			found = append(found, fmt.Sprintf("buckets %s and %[1]s-state are there", bucket))
		}
	}
	return found, names.Err()
}

// anyReplica finds a replica, whatever its bucket. A replica's NATS user may not ping the micro
// service, but may hear announcements; that takes longer, and happens only if patient. heard is
// whether a replica would have been found.
func anyReplica(ctx context.Context, s *site, patient bool) (found []string, heard bool, err error) {
	in := make(chan *nats.Msg, 64)
	inbox := s.nc.NewInbox()
	r := &rights{nc: s.nc}
	for _, subject := range []string{inbox, record.PresenceSubject("*")} {
		sub, err := s.nc.ChanSubscribe(subject, in)
		if err != nil {
			return nil, false, err
		}
		defer sub.Unsubscribe() //nolint:errcheck // the connection ends soon
	}
	deaf, err := r.violates(ctx, "Subscription", record.PresenceSubject("*"), func() error { return nil })
	if err != nil {
		return nil, false, err
	}
	const ping = "$SRV.PING.zoomstream"
	mute, err := r.violates(ctx, "Publish", ping, func() error { return s.nc.PublishRequest(ping, inbox, nil) })
	if err != nil {
		return nil, false, err
	}
	wait := pingWait
	if mute && !deaf && patient {
		wait = presenceWait
	}
	over := time.After(wait)
	for {
		select {
		case msg := <-in:
			if replica := announced(msg); replica != "" {
				return []string{replica}, true, nil
			}
			if msg.Subject == inbox && msg.Header.Get("Status") == "503" { // no instance of the service
				return nil, true, nil
			}
		case <-over:
			return nil, !mute || !deaf && patient, nil
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// announced describes the replica that a message announces; "": it is another message.
func announced(msg *nats.Msg) string {
	replica, bucket := "", ""
	if subject := strings.Split(msg.Subject, "."); len(subject) == 3 && msg.Subject == record.PresenceSubject(subject[1]) {
		if p, err := record.ReadPresence(msg.Data); err == nil && !p.Leaving {
			replica, bucket = p.Replica, subject[1]
		}
	} else {
		var service struct {
			Metadata struct {
				Replica string `json:"replica"`
				Bucket  string `json:"bucket"`
			} `json:"metadata"`
		}
		if json.Unmarshal(msg.Data, &service) == nil && record.IsName(service.Metadata.Replica) {
			replica, bucket = service.Metadata.Replica, message.Short(service.Metadata.Bucket, message.MaxText)
		}
	}
	if replica == "" {
		return ""
	}
	return fmt.Sprintf("replica %s with bucket %s answers", replica, bucket)
}
