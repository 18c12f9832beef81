package provision

import (
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/natsconn"
)

const (
	leastRecord = 4 << 10 // bytes of a message; enough for a lease or a state
	remake      = "stop all replicas, delete it (nats kv del %s), and start them again: they recreate it"
	otherBucket = "delete it, so that zoomstream recreates it, or set ZOOMSTREAM_BUCKET to another one"
)

// checkBucket compares an existing bucket with the requirements. Without leases nobody can lead.
// Without states events are withheld, since the connected replica cannot be recorded. So whatever
// refuses all writes is fatal for both.
func checkBucket(c jetstream.StreamConfig, o kv.Options) []natsconn.Finding {
	var found []natsconn.Finding
	note := func(fatal, wrong bool, fix, format string, args ...any) {
		if wrong {
			found = append(found, natsconn.Finding{Fatal: fatal, Problem: "bucket " + o.Name + " " + fmt.Sprintf(format, args...), Fix: fix})
		}
	}
	if c.Mirror != nil {
		note(true, true, otherBucket, "is a mirror of %s and takes no writes: %s", c.Mirror.Name, without(o))
		return found
	}
	edit := func(flag string) string { return "nats stream edit KV_" + o.Name + " " + flag }
	subject := "$KV." + o.Name + ".>"

	note(true, c.Sealed, "a sealed bucket stays sealed: "+fmt.Sprintf(remake, o.Name), "is sealed and takes no writes: %s", without(o))
	note(true, o.TTLs && !c.AllowMsgTTL, otherBucket, "cannot hold leases: its entries cannot have a TTL of their own (LimitMarkerTTL)")
	note(true, !slices.Contains(c.Subjects, subject), otherBucket, "does not hold %s: %s", subject, without(o))
	note(true, c.NoAck, edit("--ack"), "does not acknowledge (no_ack), so nobody knows what is written: %s", without(o))
	note(true, c.AllowMsgCounter, otherBucket, "is a counter (allow_msg_counter) and takes no entries: %s", without(o))
	note(true, c.DiscardNewPerSubject, edit("--no-discard-per-subject"), "refuses to replace an entry (discard_new_per_subject): %s", without(o))
	note(true, c.MaxMsgSize > 0 && c.MaxMsgSize < leastRecord, edit("--max-msg-size=-1"), "refuses entries over %d bytes (max_msg_size): %s", c.MaxMsgSize, without(o))
	note(true, c.MaxBytes > 0 && c.MaxBytes < leastRecord, edit(fmt.Sprintf("--max-bytes=%d", kv.DefaultMaxBytes)), "has room for %d bytes only (max_bytes): %s", c.MaxBytes, without(o))
	note(true, c.Retention != jetstream.LimitsPolicy, otherBucket, "does not keep what is written (retention): %s", without(o))

	note(false, o.TTLs && c.MaxMsgsPerSubject != 1, edit("--max-msgs-per-subject=1"),
		"keeps a history of %d: the server then lets short leases live longer", c.MaxMsgsPerSubject)
	note(false, !o.TTLs && c.MaxAge > 0, edit("--max-age=0"), "forgets states after %s: a gap older than that has no beginning", c.MaxAge)
	note(false, !c.AllowRollup, otherBucket, "does not let entries be purged (allow_rollup_hdrs): a replica that stops cannot give its lease back")
	note(false, c.Storage == jetstream.MemoryStorage, "delete it while zoomstream is stopped; the next start recreates it", "is kept in memory: a restart of its servers loses it")
	note(false, c.Replicas < o.Replicas, edit(fmt.Sprintf("--replicas=%d", o.Replicas)),
		"has %d replica(s), %d wanted (ZOOMSTREAM_STREAM_REPLICAS)", c.Replicas, o.Replicas)
	return found
}

// without returns the consequence of a bucket that takes no writes.
func without(o kv.Options) string {
	if o.TTLs {
		return "no replica can lead"
	}
	return "events are withheld, since zoomstream cannot record who is connected"
}
