package record

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zoomstream/zoomstream/message"
)

// State is the state of a subscription's connection. It is kept under
// state.<subscription>, for the replica that connects next and for people. It is
// also a replica's answer to the one that took over.
type State struct {
	State      ConnState        `json:"state"`
	Replica    string           `json:"replica"`
	Nonce      string           `json:"nonce"` // of the process
	Epoch      uint64           `json:"epoch"`
	Connection uint64           `json:"connection"`      // number within the epoch
	First      time.Time        `json:"first,omitzero"`  // when the epoch's first connection was ready
	Since      time.Time        `json:"since"`           // since when State holds: when the connection was ready, or ended
	Ended      time.Time        `json:"ended,omitzero"`  // when its end was noticed
	End        string           `json:"end,omitempty"`   // why it ended, for people
	Cause      message.GapCause `json:"cause,omitempty"` // of the gap that began when it ended
	LastFrame  time.Time        `json:"last_frame,omitzero"`
	LastEvent  time.Time        `json:"last_event,omitzero"`
	SafeUntil  time.Time        `json:"safe_until,omitzero"`  // everything that Zoom sent before this is stored or on disk
	Unanswered bool             `json:"unanswered,omitempty"` // a heartbeat is unanswered: the connection may be dead since LastFrame
	LastGap    *message.Gap     `json:"last_gap,omitempty"`
	FirstGap   *message.Gap     `json:"first_gap,omitempty"` // before the epoch's first connection
	Now        time.Time        `json:"now,omitzero"`        // only in an answer: when it was given

	// Unstored are gaps whose markers may not be stored yet: the next replica that
	// connects publishes them again.
	Unstored []message.Gap `json:"unstored,omitempty"`
	Raised   []string      `json:"raised,omitempty"` // raised alarms, which the next leader takes over
	// ClosesAtExpiry: Zoom was seen to close a connection when its token expired.
	ClosesAtExpiry bool `json:"closes_at_expiry,omitempty"`
}

// ConnState is the state of a connection.
type ConnState string

// The states.
const (
	Connected    ConnState = "connected"
	Disconnected ConnState = "disconnected" // a gap has begun
	Displaced    ConnState = "displaced"    // by another connection; it is not yet known whose
	HandedOver   ConnState = "handed_over"  // live until the successor's connection displaced it: no gap
)

var connStates = []ConnState{Connected, Disconnected, Displaced, HandedOver}

// ReadState parses the stored state of a subscription. It returns an error if the value is
// no state at all. It leaves out parts that no replica of this subscription writes, and
// returns complete as false if there are any. It bounds times by now.
func ReadState(value []byte, subscription string, now time.Time) (s State, complete bool, err error) {
	if s, err = parseState(value); err != nil {
		return State{}, false, err
	}
	if s.Since.IsZero() {
		return State{}, false, errors.New("it does not say since when")
	}
	complete = s.bound(subscription, now)
	return s, complete, nil
}

// ReadAnswer parses a replica's answer about its present state. It converts its
// times from that replica's clock to this one's. Those of earlier terms' gaps stay as they are,
// and those of Unstored, since their markers do.
func ReadAnswer(text []byte, subscription string, now time.Time) (State, error) {
	s, err := parseState(text)
	if err != nil {
		return State{}, err
	}
	times := []*time.Time{&s.First, &s.Since, &s.Ended, &s.LastFrame, &s.LastEvent, &s.SafeUntil}
	for _, gap := range []*message.Gap{s.LastGap, s.FirstGap} {
		if gap != nil && gap.Epoch == s.Epoch { // otherwise it is not by that replica's clock
			times = append(times, &gap.From, &gap.To)
		}
	}
	for _, at := range times {
		if !at.IsZero() {
			*at = at.Add(now.Sub(s.Now))
		}
	}
	s.bound(subscription, now)
	return s, nil
}

func parseState(value []byte) (s State, err error) {
	if len(value) > MaxBytes {
		return State{}, fmt.Errorf("%d bytes are more than any state has", len(value))
	}
	if err := json.Unmarshal(value, &s); err != nil {
		return State{}, err
	}
	switch {
	case !slices.Contains(connStates, s.State):
		return State{}, fmt.Errorf("%.40q is not the state of a connection", s.State)
	case s.Epoch >= message.MaxNumber || s.Connection >= message.MaxNumber:
		return State{}, fmt.Errorf("epoch %d, connection %d: there are never so many", s.Epoch, s.Connection)
	}
	return s, checkNames(s.Replica, s.Nonce)
}

// bound cuts and leaves out what no replica writes, and reports whether nothing had to be
// left out.
func (s *State) bound(subscription string, now time.Time) (complete bool) {
	complete = true
	for _, at := range []*time.Time{&s.First, &s.Since, &s.Ended, &s.LastFrame, &s.SafeUntil, &s.LastEvent} {
		*at = message.Clamp(*at, now)
	}
	s.End = message.Short(s.End, message.MaxText)
	if s.Cause != "" && !causes.MatchString(string(s.Cause)) {
		s.Cause, complete = message.GapDisconnected, false
	}
	for _, gap := range []**message.Gap{&s.LastGap, &s.FirstGap} {
		if *gap != nil && !boundGap(*gap, subscription, now) {
			*gap, complete = nil, false
		}
	}
	had := len(s.Unstored) + len(s.Raised)
	known, gaps := make(map[string]bool), s.Unstored[:0]
	for _, gap := range s.Unstored {
		if boundGap(&gap, subscription, now) && !known[gap.ID] {
			known[gap.ID] = true
			gaps = append(gaps, gap)
		}
	}
	s.Unstored = newest(gaps)
	slices.Sort(s.Raised)
	s.Raised = slices.DeleteFunc(slices.Compact(s.Raised), func(name string) bool { return !slices.Contains(message.SubscriptionAlarms(), name) })
	return complete && had == len(s.Unstored)+len(s.Raised)
}

// newest returns the last gaps of a list, as many as a state keeps.
func newest(gaps []message.Gap) []message.Gap {
	return slices.Clone(gaps[max(0, len(gaps)-MaxUnstored):])
}

// AddGap adds a gap whose marker is not stored yet.
func (s *State) AddGap(gap message.Gap) {
	s.Unstored = newest(append(s.Unstored, gap))
	s.LastGap = &gap
}

// After returns the state with what the previous term, in the state last, left: gaps, raised
// alarms, and whether Zoom closes connections when their tokens expire.
func (s State) After(last State) State {
	s.Unstored = newest(slices.Concat(last.Unstored, s.Unstored))
	s.LastGap = cmp.Or(s.LastGap, last.LastGap)
	s.FirstGap = cmp.Or(s.FirstGap, last.FirstGap)
	s.Raised = slices.Concat(s.Raised, last.Raised)
	slices.Sort(s.Raised)
	s.Raised = slices.Compact(s.Raised)
	s.ClosesAtExpiry = s.ClosesAtExpiry || last.ClosesAtExpiry
	return s
}

// Final reports whether a replica will not change its state any more.
func (s State) Final() bool {
	return s.State == HandedOver || s.State == Disconnected && (s.Cause == message.GapStart || s.Cause == message.GapHandoverTimeout)
}
