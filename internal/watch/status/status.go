// Package status defines what replicas report about themselves, and asks them for it.
//
// Each replica answers on NATS as an instance of the micro service zoomstream
// (https://github.com/nats-io/nats.go/tree/main/micro), so everybody who reaches NATS can ask all
// replicas. What no replica answers is filled in from the buckets of leases and states, which are
// available as long as NATS is.
package status

import (
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/alarm"
)

// Replica is one replica's answer.
type Replica struct {
	Replica string    `json:"replica"`
	Nonce   string    `json:"nonce"` // of the process
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"` // by this replica's clock
	Phase   Phase     `json:"phase"`
	HTTP    string    `json:"http,omitempty"` // address of its status page

	Subscriptions few[Subscription] `json:"subscriptions"`  // those it is configured to lead
	Others        few[Other]        `json:"others"`         // replicas it hears from
	Gone          few[Other]        `json:"gone,omitempty"` // replicas that vanished in the last ten minutes without taking leave
	Outbox        Outbox            `json:"pipeline"`
	Token         Token             `json:"token"`
	Alarms        few[Alarm]        `json:"alarms"`              // raised alarms
	Consumers     *Consumers        `json:"consumers,omitempty"` // only of the replica that watches them

	// Shortened says what was dropped because the answer exceeded NATS' message limit: history,
	// details or subscriptions; each implies the ones before.
	Shortened string `json:"shortened,omitempty"`
}

// Phase is the stage in a replica's life.
type Phase string

// The phases.
const (
	Starting Phase = "starting"
	Ready    Phase = "ready" // leading or standing by
	Draining Phase = "draining"
)

// Other is another replica, as heard of by this one.
type Other struct {
	Replica string    `json:"replica"`
	Nonce   string    `json:"nonce"`
	Heard   time.Time `json:"heard"` // time of its last announcement
	Leaving bool      `json:"leaving,omitempty"`
}

// Role is a replica's role for a subscription.
type Role string

// The roles.
const (
	Leader  Role = "leader"
	Standby Role = "standby"
)

// Subscription is what one replica knows of a subscription. Counters start at the replica's start.
type Subscription struct {
	Subscription string    `json:"subscription"`
	Role         Role      `json:"role"`
	Leader       string    `json:"leader,omitempty"` // replica that holds the lease; empty: nobody does
	LeaderNonce  string    `json:"leader_nonce,omitempty"`
	Epoch        uint64    `json:"epoch,omitempty"`
	Since        time.Time `json:"since,omitzero"` // since when the leader leads

	// Below: known to the leader only, and zero on a standby.

	State      string    `json:"state,omitempty"`          // connected, disconnected, displaced or handed_over
	StateSince time.Time `json:"state_since,omitzero"`     // start of the state
	Connection uint64    `json:"connection,omitempty"`     // number within the epoch, from 1; an increase without a gap is a renewal
	Adopting   bool      `json:"adopting,omitempty"`       // the previous term's leftovers are not read yet: its state and last gap
	Trouble    string    `json:"trouble,omitempty"`        // why it is not connected
	LastFrame  time.Time `json:"last_frame,omitzero"`      // last sign of life of the connection
	LastEvent  time.Time `json:"last_event,omitzero"`      // receipt of the last event
	RoundTrip  float64   `json:"round_trip_ms,omitempty"`  // milliseconds, of the latest heartbeat
	Trusted    float64   `json:"lease_margin_s,omitempty"` // seconds until the lease has to be confirmed again

	Events     uint64  `json:"events"`     // received, including repetitions
	Published  uint64  `json:"published"`  // stored in the stream
	Duplicates uint64  `json:"duplicates"` // recognised here or by the stream
	Malformed  uint64  `json:"malformed"`
	Connects   uint64  `json:"connects"`
	InFlight   int     `json:"in_flight"`         // received but not stored yet
	Rate       float64 `json:"events_per_second"` // average of the last minute; for a new leader, since it leads

	// Latencies of the events of the last five minutes; at most the latest 256.
	Late  Quantiles `json:"late"`     // from the event to its storage
	Zoom  Quantiles `json:"zoom"`     // from the event to when Zoom sent it
	Way   Quantiles `json:"delivery"` // from when Zoom sent it to its receipt
	Store Quantiles `json:"store"`    // from its receipt to its storage

	LastGap *Gap        `json:"last_gap,omitempty"`
	History few[Sample] `json:"history,omitempty"` // if requested; oldest first
}

// Quantiles of a duration, in seconds. Count is the number of values; with none, the quantiles are
// zero.
type Quantiles struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
}

// Gap is the latest interval without a connection.
type Gap struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Duration float64   `json:"duration_s"`
	Cause    string    `json:"cause"`
	Certain  bool      `json:"certain"`
}

// Sample is one point of a subscription's history.
type Sample struct {
	At   time.Time `json:"at"`
	Rate float64   `json:"events_per_second"` // since the previous sample
	P50  float64   `json:"late_p50"`          // seconds from event to storage, since the previous sample
	P99  float64   `json:"late_p99"`
}

// Outbox is the state of a replica's outbox. Its JSON name is older than the package's name.
type Outbox struct {
	NATS     bool    `json:"nats_connected"`
	Server   string  `json:"nats_server,omitempty"`
	Stream   string  `json:"stream"`
	Direct   bool    `json:"direct"`    // nothing goes through the spool
	InFlight int     `json:"in_flight"` // messages sent but not acknowledged, or waiting to be sent
	Spooled  int     `json:"spool_messages"`
	Bytes    uint64  `json:"spool_bytes"`
	Max      int64   `json:"spool_max_bytes"`
	Age      float64 `json:"spool_age_s,omitempty"` // seconds, of the oldest message in it
	Trouble  string  `json:"trouble,omitempty"`     // why publishing pauses
	Disk     string  `json:"disk_trouble,omitempty"`
	Bucket   string  `json:"bucket_trouble,omitempty"` // why leases or states cannot be written
	Kept     string  `json:"kept,omitempty"`           // what this means for the messages, for people; in an overview only
}

// Token is the state of the app's access token.
type Token struct {
	Expires   time.Time `json:"expires,omitzero"` // expiry of the current token
	Refreshes uint64    `json:"refreshes"`
	Failures  uint64    `json:"failures"`
	Trouble   string    `json:"trouble,omitempty"` // of the latest attempt, if it failed
	Denied    bool      `json:"denied,omitempty"`  // Zoom refuses the credentials, so this replica cannot lead
}

// Alarm is a raised alarm.
type Alarm = alarm.Alarm
