package page

import (
	"context"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/message"
)

// Source provides the page's data. Its functions get a context that ends after some seconds.
//
// The text of an error is shown to whoever can open the page.
type Source struct {
	// The following are called concurrently, about once a second while anybody watches. Data
	// returned together with an error is shown beside it; with an error alone, the previous data
	// stays visible.

	// Overview asks all replicas. With history, the lines include it; without, they may include
	// their latest samples.
	Overview func(ctx context.Context, history bool) (*status.Overview, error)
	// Events returns the latest messages of the stream, newest first.
	Events func(ctx context.Context) ([]Event, error)
	// Timeline returns what happened in the last 24 hours, oldest first.
	Timeline func(ctx context.Context) ([]Moment, error)

	// The following are called on request, and must be safe for concurrent use.

	// Message returns a whole message of the stream; [ErrNotThere] if there is none.
	Message func(ctx context.Context, seq uint64) (*Stored, error)
	// Search looks for events stored since a time, as zoomstream find does, among as many of the
	// latest as can be examined in some seconds.
	Search func(ctx context.Context, what string, since time.Time) (*Found, error)
}

// Event is a stored event, or a malformed frame.
type Event struct {
	Seq          uint64    `json:"seq"` // sequence in the stream
	Subject      string    `json:"subject"`
	Event        string    `json:"event"`
	Subscription string    `json:"subscription"`
	At           time.Time `json:"at"`                     // time of storage
	LateSeconds  *float64  `json:"late_seconds,omitempty"` // from the event to its storage, if known
	ID           string    `json:"id"`
	Topic        string    `json:"topic,omitempty"` // of a meeting or webinar
	Malformed    bool      `json:"malformed,omitempty"`
	Reason       string    `json:"reason,omitempty"`  // why it is malformed
	Matched      string    `json:"matched,omitempty"` // header or place in the body that matched the search
}

// Kind is the kind of a moment.
type Kind string

// The kinds.
const (
	KindBegan        Kind = "began"        // the stream was created, for all subscriptions; nothing earlier is known
	KindLeader       Kind = "leader"       // Replica became leader, after Previous
	KindConnected    Kind = "connected"    // Replica's connection is ready
	KindDisconnected Kind = "disconnected" // its connection ended
	KindGap          Kind = "gap"          // no connection from At until Until
	KindAlarm        Kind = "alarm"        // alarm Name was raised
	KindCleared      Kind = "cleared"      // alarm Name was cleared
	KindMalformed    Kind = "malformed"    // a frame that is no event
)

// How the leader changed.
const (
	Handover  = "handover"  // the previous leader released its lease: it stopped or stepped down
	Rebalance = "rebalance" // the previous leader had more than its share, and runs on
	Crash     = "crash"     // the previous leader could no longer be asked
)

// Moment is an entry of the timeline.
type Moment struct {
	At           time.Time `json:"at"`
	Until        time.Time `json:"until,omitzero"` // end of an interval
	Kind         Kind      `json:"kind"`
	Subscription string    `json:"subscription,omitempty"` // empty: an alarm of the whole replica
	Replica      string    `json:"replica,omitempty"`
	Previous     string    `json:"previous,omitempty"`
	Name         string    `json:"name,omitempty"` // of an alarm, the cause of a gap, or how the leader changed; empty: unknown
	Detail       string    `json:"detail,omitempty"`
}

// Limits of a message to the browser.
const (
	maxEvents  = 100
	maxMoments = 5000
)

// MaxText bounds a text in a message to the browser, in bytes: Zoom, and whoever names a meeting,
// decide how long a text is.
const MaxText = 600

func bounded(events []Event) []Event {
	kept := append([]Event{}, events[:min(len(events), maxEvents)]...)
	for i := range kept {
		e := &kept[i]
		cut(&e.Subject, &e.Event, &e.Subscription, &e.ID, &e.Topic, &e.Reason, &e.Matched)
	}
	return kept
}

func boundedMoments(moments []Moment) []Moment {
	kept := append([]Moment{}, moments[max(0, len(moments)-maxMoments):]...)
	for i := range kept {
		m := &kept[i]
		cut(&m.Subscription, &m.Replica, &m.Previous, &m.Name, &m.Detail)
	}
	return kept
}

func cut(texts ...*string) {
	for _, t := range texts {
		*t = message.Short(*t, MaxText)
	}
}
