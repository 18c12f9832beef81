// Package status is what replicas tell of themselves, and how it is asked for.
//
// Each replica answers on NATS as an instance of the micro service zoomstream
// (https://github.com/nats-io/nats.go/tree/main/micro), so that whoever can reach
// NATS can ask all of them. What no replica answers is filled in from the buckets
// of the leases and the states, which are there as long as NATS is.
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
	Now     time.Time `json:"now"` // by its clock
	Phase   Phase     `json:"phase"`
	HTTP    string    `json:"http,omitempty"` // address of its status page

	Subscriptions few[Subscription] `json:"subscriptions"`  // those that it would lead
	Others        few[Other]        `json:"others"`         // replicas that it hears
	Gone          few[Other]        `json:"gone,omitempty"` // that vanished in the last ten minutes without a word
	Outbox        Outbox            `json:"pipeline"`
	Token         Token             `json:"token"`
	Alarms        few[Alarm]        `json:"alarms"`              // that are raised
	Consumers     *Consumers        `json:"consumers,omitempty"` // if it is this replica that watches them

	// Shortened says what was left out, since NATS would not have taken the answer
	// whole: history, details or subscriptions; each includes the ones before.
	Shortened string `json:"shortened,omitempty"`
}

// Phase is what a replica is about to do.
type Phase string

// The phases.
const (
	Starting Phase = "starting"
	Ready    Phase = "ready" // it leads, or stands by
	Draining Phase = "draining"
)

// Other is another replica, as one heard of it.
type Other struct {
	Replica string    `json:"replica"`
	Nonce   string    `json:"nonce"`
	Heard   time.Time `json:"heard"` // its last announcement
	Leaving bool      `json:"leaving,omitempty"`
}

// Role is what a replica is to a subscription.
type Role string

// The roles.
const (
	Leader  Role = "leader"
	Standby Role = "standby"
)

// Subscription is what one replica knows of a subscription. Counters are since
// the replica's start.
type Subscription struct {
	Subscription string    `json:"subscription"`
	Role         Role      `json:"role"`
	Leader       string    `json:"leader,omitempty"` // replica that holds the lease; empty: none
	LeaderNonce  string    `json:"leader_nonce,omitempty"`
	Epoch        uint64    `json:"epoch,omitempty"`
	Since        time.Time `json:"since,omitzero"` // the leader leads

	// The rest is the leader's own knowledge, and zero on a standby.

	State      string    `json:"state,omitempty"`          // connected, disconnected, displaced or handed_over
	StateSince time.Time `json:"state_since,omitzero"`     // of the state
	Connection uint64    `json:"connection,omitempty"`     // its number in the epoch, from 1; one that follows without a gap is a renewal
	Adopting   bool      `json:"adopting,omitempty"`       // it has not read yet what the term before has left: the state and the last gap
	Trouble    string    `json:"trouble,omitempty"`        // why it is not connected
	LastFrame  time.Time `json:"last_frame,omitzero"`      // sign of life of the connection
	LastEvent  time.Time `json:"last_event,omitzero"`      // received
	RoundTrip  float64   `json:"round_trip_ms,omitempty"`  // of the latest heartbeat
	Trusted    float64   `json:"lease_margin_s,omitempty"` // until a new proof of the lease is needed

	Events     uint64  `json:"events"`     // received, repetitions included
	Published  uint64  `json:"published"`  // stored in the stream
	Duplicates uint64  `json:"duplicates"` // recognised, here or by the stream
	Malformed  uint64  `json:"malformed"`
	Connects   uint64  `json:"connects"`
	InFlight   int     `json:"in_flight"`         // received and not yet stored
	Rate       float64 `json:"events_per_second"` // of the last minute; of a leader, since it leads

	// Lateness of the latest events of the last five minutes, at most 256 of them.
	Late  Quantiles `json:"late"`     // from the event to its storage
	Zoom  Quantiles `json:"zoom"`     // from the event to Zoom's sending it
	Way   Quantiles `json:"delivery"` // from its sending to its receipt
	Store Quantiles `json:"store"`    // from its receipt to its storage

	LastGap *Gap        `json:"last_gap,omitempty"`
	History few[Sample] `json:"history,omitempty"` // if asked for, oldest first
}

// Quantiles of a duration in seconds. Count is of what they are taken from; with
// none, they are zero.
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
	Rate float64   `json:"events_per_second"` // since the sample before
	P50  float64   `json:"late_p50"`          // seconds from event to storage, since the sample before
	P99  float64   `json:"late_p99"`
}

// Outbox is how a replica's messages get into the stream. Its name in JSON is older
// than the package's.
type Outbox struct {
	NATS     bool    `json:"nats_connected"`
	Server   string  `json:"nats_server,omitempty"`
	Stream   string  `json:"stream"`
	Direct   bool    `json:"direct"`    // nothing goes over the spool
	InFlight int     `json:"in_flight"` // messages sent or waiting to be
	Spooled  int     `json:"spool_messages"`
	Bytes    uint64  `json:"spool_bytes"`
	Max      int64   `json:"spool_max_bytes"`
	Age      float64 `json:"spool_age_s,omitempty"` // of the oldest message in it
	Trouble  string  `json:"trouble,omitempty"`     // why publishing pauses
	Disk     string  `json:"disk_trouble,omitempty"`
	Bucket   string  `json:"bucket_trouble,omitempty"` // why leases or states cannot be written
	Kept     string  `json:"kept,omitempty"`           // what that means for the messages, for people; in an overview only
}

// Token is the access token of the app.
type Token struct {
	Expires   time.Time `json:"expires,omitzero"` // of the one at hand
	Refreshes uint64    `json:"refreshes"`
	Failures  uint64    `json:"failures"`
	Trouble   string    `json:"trouble,omitempty"` // of the latest try, if it failed
	Denied    bool      `json:"denied,omitempty"`  // Zoom refuses the credentials: this replica cannot lead
}

// Alarm is an alarm that is raised.
type Alarm = alarm.Alarm
