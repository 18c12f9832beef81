package record

// What begins the keys in the buckets.
const (
	LeasePrefix  = "lease."  // and a subscription, in the bucket of the leases: a Lease
	StatePrefix  = "state."  // and a subscription, in that of the states: a State
	RhythmPrefix = "rhythm." // and a subscription, in that of the states: how many events are usual
	StreamPrefix = "stream." // and a stream, in that of the states: there is one if the stream is somebody else's
)

// StateBucket is the name of the bucket of the states beside one of leases.
func StateBucket(leases string) string { return leases + "-state" }

// The subjects by which replicas know of one another, on core NATS; the bucket is that of
// the leases.

// ReplicaSubject is where the process with a nonce answers.
func ReplicaSubject(bucket, nonce string) string { return "zoomstream." + bucket + ".replica." + nonce }

// PresenceSubject is where each replica says once a second that it is there: a Presence.
func PresenceSubject(bucket string) string { return "zoomstream." + bucket + ".presence" }
