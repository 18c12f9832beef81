// Package record defines what replicas keep in NATS for each other and for people: the
// leases, and the state of each subscription's connection.
//
// Anyone who may write to the buckets can forge a record. So all code reads records
// with this package, which checks and bounds what it returns.
package record

import (
	"fmt"
	"regexp"
)

// Bounds of what is read.
const (
	// MaxBytes is the maximum size of a state. A hundred gaps take a fifth of it.
	MaxBytes = 256 << 10
	// MaxUnstored is the maximum number of gaps in a state, which keeps the newest ones.
	// There are more only after a long outage of NATS.
	MaxUnstored = 100

	maxLeaseBytes = 4 << 10
	maxID         = 512
)

var (
	names         = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`) // of replicas and processes: both are subject tokens
	subscriptions = regexp.MustCompile(`^[A-Za-z0-9_=-]{1,256}$`)
	causes        = regexp.MustCompile(`^[a-z_]{1,32}$`) // of another version, too
)

// IsName reports whether a text can be the name of a replica or the nonce of a process.
func IsName(text string) bool { return names.MatchString(text) }

// IsSubscription reports whether a text can be the id of a subscription, which is part of a
// key in a bucket.
func IsSubscription(text string) bool { return subscriptions.MatchString(text) }

// Unknown is the name, and the nonce, of a replica about which nothing is known.
const Unknown = "?"

func checkNames(replica, nonce string) error {
	if !IsName(replica) && replica != Unknown || !IsName(nonce) && nonce != Unknown {
		return fmt.Errorf("%.40q and %.40q are not a replica's name and nonce", replica, nonce)
	}
	return nil
}
