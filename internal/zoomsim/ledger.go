package zoomsim

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// Digest is the SHA-256 of a body; its text form is hexadecimal.
type Digest [32]byte

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != 2*len(d) {
		return fmt.Errorf("zoomsim: %q is not a SHA-256 in hexadecimal", text)
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// Outcome says what happened to an emitted frame.
type Outcome string

// The outcomes. An entry starts as Queued or Nobody; Queued becomes Written or Lost.
const (
	Queued  Outcome = "queued"  // waiting for the socket's connection
	Written Outcome = "written" // handed to the socket's connection; a server cannot know more
	Nobody  Outcome = "nobody"  // no live socket, or it is muted
	Lost    Outcome = "lost"    // still queued when its socket ended
)

// Cause says why a socket ended.
type Cause string

// The causes.
const (
	CauseDisplaced Cause = "displaced"         // a newer socket of the subscription became ready
	CauseCut       Cause = "cut"               // reset by the cut fault
	CauseControl   Cause = "closed by control" // by the close fault
	CauseIdle      Cause = "idle"              // no heartbeat for IdleTimeout
	CauseClient    Cause = "client closed"     // the client sent a close frame
	CauseGone      Cause = "client gone"       // the connection ended without a close frame
	CauseExpired   Cause = "token expired"     // CloseOnExpiry
	CauseRefused   Cause = "refused"           // build_connection with success:false
	CauseStalled   Cause = "stalled"           // the client took no bytes for WriteTimeout
	CauseOverflow  Cause = "overflow"          // more than 64 MiB waited for it
	CauseStopped   Cause = "simulator closed"
)

// Entry is a frame that the simulator emitted: an event, a copy of one, or a raw frame.
type Entry struct {
	N            int64     `json:"n"` // number, from 1 over all subscriptions
	At           time.Time `json:"at"`
	Subscription string    `json:"subscription"`
	Event        string    `json:"event,omitempty"`       // name
	TrackingID   string    `json:"tracking_id,omitempty"` // x-zm-trackingid
	Digest       Digest    `json:"digest"`                // of the body; for a raw frame, of the frame
	Copy         int       `json:"copy,omitempty"`        // 1 for the first repetition of an event
	Raw          bool      `json:"raw,omitempty"`         // written as given, not made from an event
	Socket       int       `json:"socket"`                // number of the socket it was queued for or written to; 0: none
	Outcome      Outcome   `json:"outcome"`
}

// Socket is the record of one WebSocket.
type Socket struct {
	N            int       `json:"n"` // number, from 1 over all subscriptions
	Subscription string    `json:"subscription"`
	Remote       string    `json:"remote"`
	Opened       time.Time `json:"opened"`
	Ready        time.Time `json:"ready,omitzero"` // when build_connection with success:true was written
	Retired      time.Time `json:"retired,omitzero"`
	Closed       time.Time `json:"closed,omitzero"` // when its connection was closed; later than Retired with a linger, a freeze or a close handshake
	Cause        Cause     `json:"cause,omitempty"` // why it was retired
	Heartbeats   int64     `json:"heartbeats"`      // received
	Unknown      int64     `json:"unknown_frames"`  // received frames other than heartbeats
	Events       int64     `json:"events"`          // events and raw frames written
}

// Summary holds counts. Emitted = Written + Queued + Nobody + Lost, in frames.
type Summary struct {
	Emitted int64 `json:"emitted"`
	Written int64 `json:"written"`
	Queued  int64 `json:"queued"`
	Nobody  int64 `json:"nobody"`
	Lost    int64 `json:"lost"`
	Copies  int64 `json:"copies"` // part of Emitted: repetitions of an event
	Raw     int64 `json:"raw"`    // part of Emitted: raw frames

	Sockets    int64           `json:"sockets"` // upgrades, including refused ones
	Ready      int64           `json:"ready"`   // sockets that got build_connection with success:true
	Open       int64           `json:"open"`    // sockets whose connection is open now
	Live       int64           `json:"live"`    // sockets that would receive an event now: 0 or 1 per subscription
	Heartbeats int64           `json:"heartbeats"`
	Retired    map[Cause]int64 `json:"retired"` // by cause
}

func (sum *Summary) add(o Summary) {
	sum.Emitted += o.Emitted
	sum.Written += o.Written
	sum.Queued += o.Queued
	sum.Nobody += o.Nobody
	sum.Lost += o.Lost
	sum.Copies += o.Copies
	sum.Raw += o.Raw
	sum.Sockets += o.Sockets
	sum.Ready += o.Ready
	sum.Open += o.Open
	sum.Live += o.Live
	sum.Heartbeats += o.Heartbeats
	for cause, n := range o.Retired {
		if sum.Retired == nil {
			sum.Retired = make(map[Cause]int64)
		}
		sum.Retired[cause] += n
	}
}

// Ledger is a snapshot of what happened.
type Ledger struct {
	Entries []Entry  `json:"entries"` // by number; the oldest may be missing, see Options.LedgerCap
	Sockets []Socket `json:"sockets"` // by number
	Next    int64    `json:"next"`    // pass it as since to get the entries that follow
}

// Missed returns the entries that were not written: they found nobody, were lost with their socket,
// or are still waiting.
func (l Ledger) Missed() []Entry {
	var missed []Entry
	for _, e := range l.Entries {
		if e.Outcome != Written {
			missed = append(missed, e)
		}
	}
	return missed
}

// Ledger returns a snapshot of everything still kept. Call Drain first if nothing may be in flight.
func (s *Sim) Ledger() Ledger { return s.LedgerSince(0, 0) }

// LedgerSince is Ledger with only the entries numbered above since, at most limit of them (0: all).
// All sockets are included.
func (s *Sim) LedgerSince(since int64, limit int) Ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := Ledger{Entries: s.ledger.since(since, limit), Sockets: []Socket{}, Next: since}
	if n := len(l.Entries); n > 0 {
		l.Next = l.Entries[n-1].N
	}
	for _, k := range s.ledger.sockets {
		l.Sockets = append(l.Sockets, *k)
	}
	return l
}

// Summary returns the counts of one subscription, or of all together if it is empty.
func (s *Sim) Summary(subscription string) Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.summary(subscription)
}

// Summaries returns the counts per subscription.
func (s *Sim) Summaries() map[string]Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]Summary, len(s.subs))
	for id := range s.subs {
		all[id] = s.summary(id)
	}
	return all
}

// summary returns a copy, since Retired is a map. The caller holds s.mu.
func (s *Sim) summary(id string) Summary {
	var sum Summary
	if id == "" {
		for _, sub := range s.subs {
			sum.add(sub.sum)
		}
	} else if sub, ok := s.subs[id]; ok {
		sum.add(sub.sum)
	}
	return sum
}

// settle records that a frame queued for a socket was Written or Lost. The caller holds s.mu.
func (s *Sim) settle(k *socket, it item, o Outcome) {
	if it.entry == 0 {
		return
	}
	sum, e := &k.sub.sum, s.ledger.entry(it.entry)
	if e == nil {
		e = new(Entry) // dropped from the ledger
	}
	sum.Queued--
	e.Outcome = o
	if o == Written {
		sum.Written++
		k.rec.Events++
	} else {
		sum.Lost++
		e.Socket = 0
	}
	s.notify()
}

// ledger keeps the latest max entries in a ring, and records of sockets. It is guarded by Sim.mu.
type ledger struct {
	max     int
	ring    []Entry // entry n is at (n-1) % max
	last    int64   // number of the newest entry
	sockets []*Socket
	opened  int // number of sockets so far
}

// add appends an entry, whose number must follow the last.
func (l *ledger) add(e Entry) {
	l.last = e.N
	if len(l.ring) < l.max {
		l.ring = append(l.ring, e)
	} else {
		l.ring[(e.N-1)%int64(l.max)] = e
	}
}

// entry returns an entry, or nil if it is no longer kept.
func (l *ledger) entry(n int64) *Entry {
	if n <= l.last-int64(len(l.ring)) {
		return nil
	}
	return &l.ring[(n-1)%int64(l.max)]
}

func (l *ledger) since(n int64, limit int) []Entry {
	from := max(n, l.last-int64(len(l.ring)), 0)
	to := l.last
	if limit > 0 {
		to = min(to, from+int64(limit))
	}
	out := make([]Entry, 0, max(0, to-from))
	for n := from + 1; n <= to; n++ {
		out = append(out, *l.entry(n))
	}
	return out
}

// open starts the record of a socket. If there are too many records, the oldest tenth is dropped.
func (l *ledger) open(k Socket) *Socket {
	if len(l.sockets) >= l.max {
		l.sockets = slices.Delete(l.sockets, 0, (l.max+9)/10)
	}
	l.opened++
	k.N = l.opened
	l.sockets = append(l.sockets, &k)
	return &k
}
