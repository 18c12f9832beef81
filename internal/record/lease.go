package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/message"
)

// Lease is the value of a lease entry. Host and PID are for people.
type Lease struct {
	Replica string    `json:"replica"`
	Nonce   string    `json:"nonce"` // of the process
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Since   time.Time `json:"since"`           // when this term's first write began
	Taken   string    `json:"taken,omitempty"` // why it could be taken
	Epoch   uint64    `json:"epoch,omitempty"` // of the term; absent from its first write, since it usually is that write's revision
}

// ReadLease parses the value of a lease entry. It is an error if the value is over 4 KiB, is
// not JSON, or holds what no replica writes.
func ReadLease(value []byte) (l Lease, err error) {
	if len(value) > maxLeaseBytes {
		return Lease{}, fmt.Errorf("%d bytes are more than any lease has", len(value))
	}
	if err := json.Unmarshal(value, &l); err != nil {
		return Lease{}, err
	}
	if l.Epoch >= message.MaxNumber {
		return Lease{}, errors.New("there are never so many epochs")
	}
	if l.Taken != "" && !causes.MatchString(l.Taken) {
		return Lease{}, fmt.Errorf("%.40q is not a reason to take a lease", l.Taken)
	}
	l.Host = message.Short(l.Host, message.MaxText)
	return l, checkNames(l.Replica, l.Nonce)
}
