package record

import (
	"encoding/json"
	"fmt"
)

// Presence is a replica's announcement.
type Presence struct {
	Replica string  `json:"replica"`
	Nonce   string  `json:"nonce"`             // of the process
	Leaving bool    `json:"leaving,omitempty"` // it takes no more leases
	Resting bool    `json:"resting,omitempty"` // it takes only leases that nobody else takes
	Hello   bool    `json:"hello,omitempty"`   // it asks the others to announce themselves
	Fitness Fitness `json:"fitness,omitempty"`
	// Subscriptions are those that it would lead; absent: the same as announced before.
	Subscriptions []string `json:"subscriptions,omitempty"`
}

// Fitness is whether a replica could do the work of a leader.
type Fitness string

// The values. An unfit replica takes a lease only if nobody else does, and gives its
// leases away as soon as a fit one is there.
const (
	Untried Fitness = ""
	Fit     Fitness = "fit"
	Unfit   Fitness = "unfit"
)

// maxPresence bounds an announcement, in bytes; one with thousands of subscriptions takes
// half of that.
const maxPresence = 256 << 10

// ReadPresence parses an announcement. It is an error if it is over 256 KiB, is not JSON, or
// has no valid name and nonce.
func ReadPresence(text []byte) (p Presence, err error) {
	if len(text) > maxPresence {
		return Presence{}, fmt.Errorf("%d bytes are more than any announcement has", len(text))
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return Presence{}, err
	}
	if !IsName(p.Replica) || !IsName(p.Nonce) {
		return Presence{}, fmt.Errorf("%.40q and %.40q are not a replica's name and nonce", p.Replica, p.Nonce)
	}
	return p, nil
}
