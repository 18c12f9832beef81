package record

// The prefixes of the keys in the buckets.
const (
	LeasePrefix  = "lease."  // and a subscription, in the bucket of the leases: a Lease
	StatePrefix  = "state."  // and a subscription, in the bucket of the states: a State
	RhythmPrefix = "rhythm." // and a subscription, in the bucket of the states: its usual number of events
	StreamPrefix = "stream." // and a stream, in the bucket of the states: present if the stream is somebody else's
)

// StateBucket is the name of the bucket of the states that goes with a bucket of leases.
func StateBucket(leases string) string { return leases + "-state" }

// The subjects on core NATS by which replicas learn of one another. The bucket is that of
// the leases.

// ReplicaSubject is the subject on which the process with a nonce answers requests.
func ReplicaSubject(bucket, nonce string) string { return "zoomstream." + bucket + ".replica." + nonce }

// PresenceSubject is the subject on which each replica announces itself once a second, with a
// Presence.
func PresenceSubject(bucket string) string { return "zoomstream." + bucket + ".presence" }
