package zoom

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/sleep"
)

const (
	// closeTimeout is how long closing a session may take, and maxCloseTime how long it may
	// take while frames still arrive or are handled.
	closeTimeout = 2 * time.Second
	maxCloseTime = 4 * time.Second
)

// stream is the byte stream below one WebSocket.
//
// The library's Close discards every frame that arrives after the call, and Zoom
// never sends an event twice. RFC 6455 (5.5.1, 7.1.2) lets the side that closes
// first keep reading until the other side's close frame. So stream sends the close
// frame itself, bypassing the library, which keeps reading.
type stream struct {
	io.ReadWriteCloser

	mu sync.Mutex // keeps frames from being interleaved
}

// Write writes one or more whole frames: the library flushes after each.
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ReadWriteCloser.Write(p)
}

// closeFrame is a close frame with code 1000. A client's frames must be masked; the
// masking key is zero.
var closeFrame = []byte{0x88, 0x82, 0, 0, 0, 0, 1000 >> 8, 1000 & 0xff}

// sendClose sends the close frame. Nothing may be sent after it.
func (s *stream) sendClose() error {
	_, err := s.Write(closeFrame)
	return err
}

// streamCapture is a RoundTripper that captures the byte stream of an upgraded
// connection. It serves one dial.
type streamCapture struct {
	base   http.RoundTripper
	stream *stream
}

func (c *streamCapture) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := cmp.Or(c.base, http.DefaultTransport).RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		return answer, err
	}
	if body, ok := answer.Body.(io.ReadWriteCloser); ok {
		c.stream = &stream{ReadWriteCloser: body}
		answer.Body = c.stream
	}
	return answer, nil
}

// withGracePeriod returns a context that ends a grace period after the given one.
func withGracePeriod(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		sleep.For(longer, grace) //nolint:errcheck // ends early if released
		cancel()
	})
	return longer, func() { stop(); cancel() }
}
