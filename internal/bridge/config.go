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
	// Prove waits for proof that the lease is still held. The proof begins after the call.
	Prove(context.Context) error
	// SetConnected sets whether there is a live connection.
	SetConnected(bool)
	// TakenOver reports whether a later term was seen.
	TakenOver() bool
}

// Term identifies a term.
type Term struct {
	Epoch   uint64
	Replica string // its leader's name
	Nonce   string // its leader's process
	// Previous is the lease that this term took from a leader that had not released it;
	// zero: the lease was free.
	Previous record.Lease
	// Released is the epoch of the term that released the lease before this term took it; 0:
	// none did, or it is unknown.
	Released uint64
	Lease    Lease
}

// Stream is the JetStream stream that a process publishes to.
type Stream struct {
	Name            string
	Prefix          string        // of the subjects
	Keys            subjects.Keys // after the events' names in the subjects
	CloudEvents     bool          // events also have the headers of CloudEvents
	Dedupe          dedupe.Mode
	DuplicateWindow time.Duration
	MaxMessage      int // maximum message size in bytes, headers included; 0: only the server's limit
}

// Peers are the other replicas.
type Peers interface {
	// Standbys is the number of replicas that would take a subscription's lease if it were free.
	Standbys(subscription string) int
	// Ask returns the [Bridge.Answer] of the process with a nonce. The context bounds the wait.
	Ask(ctx context.Context, nonce, question string) ([]byte, error)
	// SafeUntil is the [Bridge.SafeUntil] that the process with a nonce last reported;
	// zero: none.
	SafeUntil(nonce string) time.Time
}

// Alarms are the thresholds of the subscription's alarms, and where they are raised.
type Alarms struct {
	Board  *alarm.Board  // of the process
	Late   time.Duration // threshold of the alarm late; 0: off
	Silent time.Duration // threshold of the alarm silent; 0: off; negative: by the subscription's rhythm
}

// Config describes one term of one subscription. Every field is required.
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
	// the repetition was recognised: local or stream.
	Repeated func(id, where string)

	// Handover is how long a standby may take to connect when this replica stops.
	Handover time.Duration
	Renew    Renewal

	Alarms  Alarms
	Metrics *metrics.Subscription // counts over all terms
	// Clock maps a time to this machine's wall clock.
	Clock func(time.Time) time.Time
	Log   zerolog.Logger
}
