// Package record is what replicas keep in NATS for each other and for people: the
// leases, and the state of each subscription's connection.
//
// Whoever may write to the buckets can forge a record. So everybody reads them by
// this package, which checks and bounds what it returns.
package record

import (
	"fmt"
	"regexp"
)

// Bounds of what is read.
const (
	// MaxBytes is the size of a state. A hundred gaps take a fifth of it.
	MaxBytes = 256 << 10
	// MaxUnstored is how many gaps a state keeps, the newest ones: with more, NATS has
	// been away for long.
	MaxUnstored = 100

	maxLeaseBytes = 4 << 10
	maxID         = 512
)

var (
	names         = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`) // of replicas and processes: both are subject tokens
	subscriptions = regexp.MustCompile(`^[A-Za-z0-9_=-]{1,256}$`)
	causes        = regexp.MustCompile(`^[a-z_]{1,32}$`) // of another version, too
)

// IsName reports whether a text can be the name of a replica, or a process's nonce.
func IsName(text string) bool { return names.MatchString(text) }

// IsSubscription reports whether a text can be the id of a subscription, which is part of a
// bucket's key.
func IsSubscription(text string) bool { return subscriptions.MatchString(text) }

// Unknown is the name of a replica of which nobody knows.
const Unknown = "?"

func checkNames(replica, nonce string) error {
	if !IsName(replica) && replica != Unknown || !IsName(nonce) && nonce != Unknown {
		return fmt.Errorf("%.40q and %.40q are no replica's name and nonce", replica, nonce)
	}
	return nil
}
