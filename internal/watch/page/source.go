package page

import (
	"context"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/message"
)

// Source is where the page has its data from. Its functions get a context that ends after
// some seconds.
//
// An error's text is shown to whoever can open the page.
type Source struct {
	// These are called at the same time, about once a second while anybody watches. What
	// they return together with an error is shown beside the error; with nothing but an
	// error, what was known before stays visible.

	// Overview asks all replicas. With history, the lines hold theirs; without,
	// they may hold their latest samples.
	Overview func(ctx context.Context, history bool) (*status.Overview, error)
	// Events are the latest messages of the stream, newest first.
	Events func(ctx context.Context) ([]Event, error)
	// Timeline is what has happened in the last 24 hours, oldest first.
	Timeline func(ctx context.Context) ([]Moment, error)

	// These are called when somebody asks, also by several at once.

	// Message is a message of the stream, whole; [ErrNotThere] if there is none.
	Message func(ctx context.Context, seq uint64) (*Stored, error)
	// Search looks for events stored since a time, as zoomstream find does, among so many
	// of the latest as can be looked at in some seconds.
	Search func(ctx context.Context, what string, since time.Time) (*Found, error)
}

// Event is a stored event, or a frame that is none.
type Event struct {
	Seq          uint64    `json:"seq"` // in the stream
	Subject      string    `json:"subject"`
	Event        string    `json:"event"`
	Subscription string    `json:"subscription"`
	At           time.Time `json:"at"`                     // stored
	LateSeconds  *float64  `json:"late_seconds,omitempty"` // from the event to its storage, if known
	ID           string    `json:"id"`
	Topic        string    `json:"topic,omitempty"` // of a meeting or webinar
	Malformed    bool      `json:"malformed,omitempty"`
	Reason       string    `json:"reason,omitempty"`  // why it is malformed
	Matched      string    `json:"matched,omitempty"` // the header or the place in the body with what was searched for
}

// Kind is what a moment is of.
type Kind string

// The kinds.
const (
	KindBegan        Kind = "began"        // the stream was created: what is before is not known; of all subscriptions
	KindLeader       Kind = "leader"       // Replica leads from then on; Previous did before
	KindConnected    Kind = "connected"    // Replica's connection is ready
	KindDisconnected Kind = "disconnected" // it is live no more
	KindGap          Kind = "gap"          // no connection was, from At until Until
	KindAlarm        Kind = "alarm"        // Name is raised
	KindCleared      Kind = "cleared"      // Name is cleared
	KindMalformed    Kind = "malformed"    // a frame that is no event
)

// How a leader follows another one.
const (
	Handover  = "handover"  // that has given its lease back: it stops, or steps down
	Rebalance = "rebalance" // that had more than its share, and goes on
	Crash     = "crash"     // that could not be asked any more
)

// Moment is something that has happened.
type Moment struct {
	At           time.Time `json:"at"`
	Until        time.Time `json:"until,omitzero"` // of an interval
	Kind         Kind      `json:"kind"`
	Subscription string    `json:"subscription,omitempty"` // empty: an alarm of the whole replica
	Replica      string    `json:"replica,omitempty"`
	Previous     string    `json:"previous,omitempty"`
	Name         string    `json:"name,omitempty"` // of an alarm, a gap's cause, or how the leader changed; empty: not known
	Detail       string    `json:"detail,omitempty"`
}

// What a message to the browser holds at most. Zoom and whoever names a meeting
// decide how long a text is.
const (
	maxEvents  = 100
	maxMoments = 5000
)

// MaxText is how many bytes of a text a message to the browser holds at most.
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
