package app

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// recreated reports whether the log says that a bucket was created again.
func (h *harness) recreated(bucket string) bool {
	return strings.Contains(h.log.String(), `"code":"bucket.recreated","bucket":"`+bucket+`"`)
}

// TestDeletedBuckets: deleted buckets are created again, and the log says so. One that cannot be
// created is reported by log, status and /readyz until it can.
func TestDeletedBuckets(t *testing.T) {
	h := newMonitored(t)
	h.settings.LeaseTTL = "3s"
	h.startWith(func(*Options) {})
	h.ready()
	// A subscriber to the subjects hides that nobody answers requests to them.
	if _, err := h.js.Conn().Subscribe("$KV.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{"zoomstream", "zoomstream-state"} {
		if err := h.js.DeleteKeyValue(t.Context(), bucket); err != nil {
			t.Fatal(err)
		}
		if err := h.sim.WaitReady(t.Context(), subID); err != nil {
			t.Fatal(err)
		}
		h.sim.Cut(subID) // changes the state
		h.await(bucket+" is made again", time.Minute, func() bool { return h.recreated(bucket) })
		h.ready()
		h.await("it is ready", time.Minute, func() bool { code, _ := h.get("/readyz"); return code == http.StatusOK })

		// Now another stream has the bucket's subjects.
		other := jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"$KV." + bucket + ".>"}, NoAck: true}
		h.await("there is another stream", time.Minute, func() bool {
			h.js.DeleteKeyValue(t.Context(), bucket) //nolint:errcheck // the connector may be faster to make it again
			_, err := h.js.CreateStream(t.Context(), other)
			return err == nil
		})
		h.sim.Cut(subID)
		h.await("the status tells", 15*time.Second, func() bool {
			return strings.Contains(h.status().Outbox.Bucket, "was deleted and cannot be created again")
		})
		if code, text := h.get("/readyz"); code == http.StatusOK || !strings.Contains(text, "bucket was deleted") {
			t.Errorf("/readyz: %d %s", code, text)
		}
		if !strings.Contains(h.log.String(), `"code":"bucket.gone"`) {
			t.Error("the log does not tell")
		}
		if err := h.js.DeleteStream(t.Context(), "OTHER"); err != nil {
			t.Fatal(err)
		}
		h.await("it is over", time.Minute, func() bool { return h.status().Outbox.Bucket == "" })
	}
}
