package natsconn

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// checkStream compares an existing stream with what zoomstream needs. Settings that an operator may
// well want (deny_purge, republish, sources, compression) are not reported.
func checkStream(c jetstream.StreamConfig, o StreamOptions) []Finding {
	if c.Mirror != nil {
		return []Finding{{Fatal: true, Problem: fmt.Sprintf("stream %s is a mirror of %s and takes no messages", c.Name, c.Mirror.Name), Fix: otherStream}}
	}
	var found []Finding
	note := func(fatal, wrong bool, problem, fix string) {
		if wrong {
			found = append(found, Finding{Fatal: fatal, Problem: "stream " + c.Name + " " + problem, Fix: fix})
		}
	}
	edit := func(flags string) string { return "nats stream edit " + c.Name + " " + flags }

	note(true, c.Sealed, "is sealed and takes no messages", otherStream)
	note(true, !covers(c.Subjects, subjects(o)),
		fmt.Sprintf("holds %s, not all of %s: other events have nowhere to go", strings.Join(c.Subjects, ", "), subjects(o)),
		edit("--subjects="+strings.Join(widened(c.Subjects, subjects(o)), ",")))
	note(true, c.NoAck, "does not acknowledge (no_ack), so nobody knows what is stored", edit("--ack"))
	note(true, c.AllowMsgCounter, "is a counter (allow_msg_counter) and takes no events", otherStream)
	// Events are stored in order, so one that is refused for ever blocks those of all subjects.
	note(true, c.DiscardNewPerSubject,
		fmt.Sprintf("refuses an event once its subject holds %d (discard_new_per_subject), and nothing can be stored behind it", c.MaxMsgsPerSubject),
		edit("--discard=old --no-discard-per-subject --max-msgs-per-subject=-1"))
	note(true, c.MaxMsgSize > 0 && c.MaxMsgSize < leastMessage,
		fmt.Sprintf("refuses messages over %d bytes (max_msg_size): there is no room even for a note that an event was too large", c.MaxMsgSize),
		edit(fmt.Sprintf("--max-msg-size=%d", o.MaxMessage)))

	note(false, c.Duplicates < o.DuplicateWindow,
		fmt.Sprintf("remembers message ids for %v only (duplicate_window, %v wanted): an event repeated later is stored twice", c.Duplicates, o.DuplicateWindow),
		edit(windowFlags(c, o)))
	note(false, c.MaxAge > 0 && c.MaxAge < o.DuplicateWindow,
		fmt.Sprintf("keeps events for %v only (max_age), less than the duplicate window of %v", c.MaxAge, o.DuplicateWindow),
		edit(fmt.Sprintf("--max-age=%v", max(o.MaxAge, o.DuplicateWindow))))
	note(false, c.MaxMsgsPerSubject > 0 && !c.DiscardNewPerSubject,
		fmt.Sprintf("keeps the last %d events of each subject only (max_msgs_per_subject)", c.MaxMsgsPerSubject),
		edit("--max-msgs-per-subject=-1"))
	note(false, c.Discard == jetstream.DiscardNew && !c.DiscardNewPerSubject && (c.MaxBytes > 0 || c.MaxMsgs > 0),
		"refuses new events when it is full (discard: new) rather than drop the oldest", edit("--discard=old"))
	note(false, c.MaxBytes > 0 && c.MaxBytes < leastStream,
		fmt.Sprintf("keeps %d bytes only (max_bytes): an event may be gone before anybody has read it", c.MaxBytes),
		edit(fmt.Sprintf("--max-bytes=%d", cmp.Or(o.MaxBytes, -1))))
	note(false, c.MaxMsgs > 0 && c.MaxMsgs < leastMessages,
		fmt.Sprintf("keeps the last %d events only (max_msgs)", c.MaxMsgs), edit("--max-msgs=-1"))
	note(false, c.MaxMsgSize >= leastMessage && int(c.MaxMsgSize) < o.MaxMessage,
		fmt.Sprintf("refuses messages over %d bytes (max_msg_size); an event may have %d", c.MaxMsgSize, o.MaxMessage),
		edit(fmt.Sprintf("--max-msg-size=%d", o.MaxMessage)))
	note(false, c.PersistMode == jetstream.AsyncPersistMode,
		"acknowledges before it stores (persist_mode: async): a crash of the server loses acknowledged events", otherStream)
	note(false, c.Storage == jetstream.MemoryStorage,
		"is kept in memory: a restart of its servers loses the events", otherStream)
	note(false, c.Retention == jetstream.WorkQueuePolicy,
		"is a work queue: an event vanishes with its first acknowledgement, also for other consumers", otherStream)
	note(false, c.Retention == jetstream.InterestPolicy,
		"keeps an event only while a consumer waits for it (retention: interest)", edit("--retention=limits"))
	note(false, c.SubjectTransform != nil,
		"stores events under other subjects (subject_transform)", edit("--no-transform"))
	note(false, c.Replicas < o.Replicas,
		fmt.Sprintf("has %d replica(s), %d wanted (ZOOMSTREAM_STREAM_REPLICAS)", c.Replicas, o.Replicas), edit(fmt.Sprintf("--replicas=%d", o.Replicas)))
	return found
}

const (
	leastMessage  = 4 << 10  // bytes; enough for a gap marker, an alarm, and the remains of an event that was too large
	leastStream   = 16 << 20 // bytes; the minimum of ZOOMSTREAM_STREAM_MAX_BYTES
	leastMessages = 10_000
)

const otherStream = "this cannot be changed; set ZOOMSTREAM_STREAM to another stream, with subjects of its own (ZOOMSTREAM_PREFIX)"

// covers reports whether one of the held subjects includes the wanted one. It does not recognise
// several that add up to it.
func covers(held []string, wanted string) bool {
	for _, subject := range held {
		if server.SubjectMatchesFilter(wanted, subject) {
			return true
		}
	}
	return false
}

// widened returns held plus wanted, without the subjects that wanted includes: a stream's subjects
// must not overlap.
func widened(held []string, wanted string) []string {
	all := []string{"'" + wanted + "'"}
	for _, subject := range held {
		if !server.SubjectMatchesFilter(subject, wanted) {
			all = append(all, "'"+subject+"'")
		}
	}
	return all
}

// windowFlags raises max_age as well if it is shorter than the window, which the server would
// refuse.
func windowFlags(c jetstream.StreamConfig, o StreamOptions) string {
	flags := fmt.Sprintf("--dupe-window=%v", o.DuplicateWindow)
	if c.MaxAge > 0 && c.MaxAge < o.DuplicateWindow {
		flags += fmt.Sprintf(" --max-age=%v", max(o.MaxAge, o.DuplicateWindow))
	}
	return flags
}
