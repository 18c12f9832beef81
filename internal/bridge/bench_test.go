package bridge

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// BenchmarkFrameToMessage measures the path of an event from the bytes of the WebSocket, which are
// in memory, to the message that the outbox gets.
func BenchmarkFrameToMessage(b *testing.B) {
	sim := zoomsim.New(zoomsim.Options{SecretToken: "key"})
	defer sim.Close()
	bodies := map[string][]byte{"sample": zoomsim.Body("meeting.participant_joined")}
	for _, size := range []int{300, 1 << 10, 16 << 10} {
		bodies[fmt.Sprint(size)] = zoomsim.SizedBody("meeting.participant_joined", size)
	}
	for _, name := range []string{"300", "sample", "1024", "16384"} {
		b.Run(name, func(b *testing.B) {
			var wire bytes.Buffer
			for i := range windowSize + 1 { // one more than the window, so that no id is known
				appendText(&wire, sim.Frame(zoomsim.Event{Body: bodies[name], TrackingID: fmt.Sprintf("EventService_5D0CD6A8-7FE6-4A4A-A8B4-%012d_3", i)}))
			}
			br := newBridge(b)
			br.cfg.SecretToken = func() string { return "key" }
			s, err := zoom.NewDialer(zoom.Config{Endpoint: "ws://zoom/ws", HTTP: &http.Client{Transport: endless{wire.Bytes()}}, Heartbeat: time.Minute, Log: zerolog.Nop(),
				Tokens: zoom.NewTokenSource(zoom.TokenConfig{URL: "http://zoom/oauth/token", HTTP: &http.Client{Transport: endless{}}, Log: zerolog.Nop()})}).Dial(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(bodies[name])))
			n, enough := 0, errors.New("enough")
			b.ResetTimer()
			err = s.Run(b.Context(), func(f *zoom.Frame) error {
				msg, _ := br.receiveEvent(f)
				if br.isRepeated(msg, f.Received) {
					return errors.New("an id came twice")
				}
				if n++; n == b.N {
					return enough
				}
				return nil
			})
			if err != enough {
				b.Fatal(err)
			}
		})
	}
}

// appendText appends a text frame as a server sends it (RFC 6455, 5.2).
func appendText(to *bytes.Buffer, text []byte) {
	to.WriteByte(0x81)
	switch n := len(text); {
	case n < 126:
		to.WriteByte(byte(n))
	default:
		to.Write([]byte{126, byte(n >> 8), byte(n)})
	}
	to.Write(text)
}

// endless is a server that gives out a token, and sends the same frames on a WebSocket again and
// again.
type endless struct{ frames []byte }

func (e endless) RoundTrip(r *http.Request) (*http.Response, error) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if key == "" {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(`{"access_token":"t","expires_in":3600}`))}, nil
	}
	accept := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	var ready bytes.Buffer
	appendText(&ready, []byte(`{"module":"build_connection","success":true}`))
	return &http.Response{StatusCode: http.StatusSwitchingProtocols, Request: r, Header: http.Header{
		"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(accept[:])},
	}, Body: &repeating{now: ready.Bytes(), then: e.frames}}, nil
}

// repeating reads now once, and then next again and again.
type repeating struct{ now, then []byte }

func (r *repeating) Read(p []byte) (int, error) {
	if len(r.now) == 0 {
		r.now = r.then
	}
	n := copy(p, r.now)
	r.now = r.now[n:]
	return n, nil
}

func (r *repeating) Write(p []byte) (int, error) { return len(p), nil }
func (r *repeating) Close() error                { return nil }
