package bridge

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/dedupe"
	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/watch/alarm"
	"github.com/zoomstream/zoomstream/internal/watch/metrics"
	"github.com/zoomstream/zoomstream/subjects"
)

// Lease is what a Bridge needs of the lease under which it connects.
type Lease interface {
	// WaitTrusted waits until a connection may be opened.
	WaitTrusted(context.Context) error
	// Prove waits for proof, begun after the call, that the lease is still held.
	Prove(context.Context) error
	// SetConnected notes whether there is a live connection.
	SetConnected(bool)
	// TakenOver reports whether a later term was seen.
	TakenOver() bool
}

// Term identifies a term of leadership.
type Term struct {
	Epoch   uint64
	Replica string // its leader's name
	Nonce   string // its leader's process
	// Previous is the lease that this term took from a leader that had not released it;
	// zero: it was free.
	Previous record.Lease
	Lease    Lease
}

// Stream is the JetStream stream that a process publishes to.
type Stream struct {
	Name            string
	Prefix          string        // of the subjects
	Keys            subjects.Keys // behind the events' names in the subjects
	CloudEvents     bool          // events have the headers of CloudEvents, too
	Dedupe          dedupe.Mode
	DuplicateWindow time.Duration
	MaxMessage      int // its limit in bytes, headers included; 0: none but the server's
}

// Peers are the other replicas.
type Peers interface {
	// Standbys is how many would take the lease of a subscription if it were free.
	Standbys(subscription string) int
	// Ask returns the [Bridge.Answer] of the process with a nonce.
	Ask(ctx context.Context, nonce, question string) ([]byte, error)
	// SafeUntil is the [Bridge.SafeUntil] that the process with a nonce last reported;
	// zero: none.
	SafeUntil(nonce string) time.Time
}

// Alarms is where the subscription's alarms are raised, and when.
type Alarms struct {
	Board  *alarm.Board  // of the process
	Late   time.Duration // threshold of the alarm late; 0: off
	Silent time.Duration // threshold of the alarm silent; 0: off; below: by the subscription's rhythm
}

// Config describes one term of one subscription. Every field is needed.
type Config struct {
	Subscription string // Zoom's subscription id
	Term         Term
	Peers        Peers
	States       *kv.Bucket // of the subscriptions' states

	Stream     Stream
	Outbox     *outbox.Outbox // to the stream
	Quarantine *Quarantine
	// SecretToken returns the token that verifies signatures; "": they are not verified.
	SecretToken func() string
	// Repeated is called for each message that was received before, with its id and where
	// that was recognised: local or stream.
	Repeated func(id, where string)

	// Handover is how long another replica may take to connect when this one stops.
	Handover time.Duration
	Renew    Renewal

	Alarms  Alarms
	Metrics *metrics.Subscription // counts over all terms
	// Clock maps a time to this machine's wall clock.
	Clock func(time.Time) time.Time
	Log   zerolog.Logger
}
