package record

import (
	"encoding/json"
	"fmt"
)

// Presence is a replica's announcement.
type Presence struct {
	Replica string  `json:"replica"`
	Nonce   string  `json:"nonce"`             // of the process
	Leaving bool    `json:"leaving,omitempty"` // it takes no leases any more
	Resting bool    `json:"resting,omitempty"` // it takes those that nobody else takes
	Hello   bool    `json:"hello,omitempty"`   // it wants to know who is there
	Fitness Fitness `json:"fitness,omitempty"`
	// Subscriptions are those that it would lead; absent: as it said before.
	Subscriptions []string `json:"subscriptions,omitempty"`
}

// Fitness is whether a replica could do what a leader does.
type Fitness string

// The values. An unfit replica takes a lease only if nobody else does, and gives away
// those that it has as soon as a fit one is there.
const (
	Untried Fitness = ""
	Fit     Fitness = "fit"
	Unfit   Fitness = "unfit"
)

// maxPresence is the size of an announcement; one with thousands of subscriptions takes
// half of it.
const maxPresence = 256 << 10

// ReadPresence reads an announcement.
func ReadPresence(text []byte) (p Presence, err error) {
	if len(text) > maxPresence {
		return Presence{}, fmt.Errorf("%d bytes are more than any announcement has", len(text))
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return Presence{}, err
	}
	if !IsName(p.Replica) || !IsName(p.Nonce) {
		return Presence{}, fmt.Errorf("%.40q and %.40q are no replica's name and nonce", p.Replica, p.Nonce)
	}
	return p, nil
}
