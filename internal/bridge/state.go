package bridge

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// State is what is kept of a subscription's connection, under
// state.<subscription>, for the replica that connects next and for people. It
// also is a replica's answer to the one that took over.
type State struct {
	State      ConnState `json:"state"`
	Replica    string    `json:"replica"`
	Nonce      string    `json:"nonce"` // of the process
	Epoch      uint64    `json:"epoch"`
	Connection uint64    `json:"connection"`     // number within the epoch
	First      time.Time `json:"first,omitzero"` // when the epoch's first connection was ready
	Since      time.Time `json:"since"`          // of the state: ready, or live no more
	End        string    `json:"end,omitempty"`
	Cause      GapCause  `json:"cause,omitempty"` // of the gap that began when it ended
	LastFrame  time.Time `json:"last_frame,omitzero"`
	LastEvent  time.Time `json:"last_event,omitzero"`
	SafeUntil  time.Time `json:"safe_until,omitzero"`  // all that Zoom sent before is stored or on disk
	Unanswered bool      `json:"unanswered,omitempty"` // a heartbeat: it may be dead since LastFrame
	LastGap    *Gap      `json:"last_gap,omitempty"`
	FirstGap   *Gap      `json:"first_gap,omitempty"` // before the epoch's first connection
	Now        time.Time `json:"now,omitzero"`        // of an answer: when it was given

	// Unstored are gaps whose markers may not be stored yet: whoever connects
	// next publishes them again.
	Unstored []Gap    `json:"unstored,omitempty"`
	Raised   []string `json:"raised,omitempty"` // alarms, which whoever leads next goes on with
	// ClosesAtExpiry: Zoom was seen to close a connection when its token expired.
	ClosesAtExpiry bool `json:"closes_at_expiry,omitempty"`
}

// ConnState is the state of a connection.
type ConnState string

// The states.
const (
	Connected    ConnState = "connected"
	Disconnected ConnState = "disconnected" // a gap has begun
	Displaced    ConnState = "displaced"    // by another connection; whose that is, is not known yet
	HandedOver   ConnState = "handed_over"  // live until the next one displaced it: no gap
)

// after adds to a state what is left of the term before it.
func (s State) after(last State) State {
	s.Unstored = slices.Concat(last.Unstored, s.Unstored)
	s.LastGap = cmp.Or(s.LastGap, last.LastGap)
	s.FirstGap = cmp.Or(s.FirstGap, last.FirstGap)
	s.Raised = slices.Concat(s.Raised, last.Raised)
	slices.Sort(s.Raised)
	s.Raised = slices.Compact(s.Raised)
	s.ClosesAtExpiry = s.ClosesAtExpiry || last.ClosesAtExpiry
	return s
}

// final reports whether a replica has nothing to add to its state.
func (s State) final() bool {
	return s.State == HandedOver || s.State == Disconnected && (s.Cause == GapStart || s.Cause == GapHandoverTimeout)
}

const statePrefix = "state."

// errSuperseded says that a later term has written the state.
var errSuperseded = errors.New("a later term has written the state")

// load reads the state from the leader of the bucket's stream.
func (b *Bridge) load(ctx context.Context) (last State, revision uint64, err error) {
	entry, err := b.cfg.States.Get(ctx, statePrefix+b.cfg.Subscription)
	if err != nil {
		return State{}, 0, err
	}
	if entry.Value != nil && (json.Unmarshal(entry.Value, &last) != nil || last.Nonce == "" || last.Since.IsZero()) {
		b.cfg.Log.Warn().Str("code", "state.unreadable").Msg("the stored state of the subscription is no state; it is replaced")
		last = State{State: Connected, Nonce: "?", Replica: "?"} // somebody was connected: nobody can say more
	}
	if last.Epoch <= b.cfg.Epoch {
		return last, entry.Revision, nil
	}
	if b.over.Load() {
		return last, 0, errSuperseded
	}
	// Unless this term holds the lease all the same: then that bucket was made
	// anew and counts from the start again.
	if err := b.cfg.Term.Prove(ctx); err != nil {
		if b.over.Load() {
			return last, 0, errSuperseded
		}
		return State{}, 0, err
	}
	return last, entry.Revision, nil
}

// store writes a state at a revision.
func (b *Bridge) store(ctx context.Context, s State, revision uint64) (uint64, error) {
	value, err := json.Marshal(s)
	if err != nil {
		return 0, fmt.Errorf("encode the state: %w", err)
	}
	return b.cfg.States.Put(ctx, statePrefix+b.cfg.Subscription, value, revision, 0)
}
