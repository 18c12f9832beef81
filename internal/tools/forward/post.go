package forward

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	"github.com/zoomstream/zoomstream/internal/webhook"
	"github.com/zoomstream/zoomstream/message"
)

// newClient returns a client that keeps a connection for each lane.
func newClient(timeout time.Duration, lanes int) *http.Client {
	transport := webhook.NewTransport()
	transport.MaxIdleConnsPerHost = lanes
	return webhook.NewClient(transport, timeout)
}

// post makes one attempt; nil: delivered.
func (f *forwarder) post(ctx context.Context, m *inspect.Message) *webhook.Refusal {
	return webhook.Post(ctx, f.client, f.To, f.header(m, time.Now()), m.Body)
}

// header returns the headers of Zoom's webhook, with its lower-case names, and the message's id.
// The time stamp and the signature are new.
func (f *forwarder) header(m *inspect.Message, now time.Time) http.Header {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	h := http.Header{
		"Content-Type": {"application/json; charset=utf-8"}, "User-Agent": {f.UserAgent},
		message.HeaderSentAt: {timestamp}, message.HeaderZoomSignature: {sign(f.Secret(), timestamp, m.Body)},
	}
	for _, name := range []string{message.HeaderID, message.HeaderTrackingID, message.HeaderRequestID, message.HeaderTraceparent} {
		if value := m.Header.Get(name); value != "" && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			h[name] = []string{value}
		}
	}
	return h
}

// sign computes the signature of a Zoom webhook.
func sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "v0:%s:", timestamp)
	mac.Write(body) //nolint:errcheck // a hash takes everything
	return "v0=" + hex.EncodeToString(mac.Sum(nil))
}
