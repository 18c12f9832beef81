package page

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

const (
	heartbeat = 15 * time.Second
	// writeTimeout is how long a viewer may take nothing before it is dropped. A browser that draws
	// hundreds of subscriptions on a busy machine may take nothing for seconds.
	writeTimeout = 15 * time.Second
	pieceSize    = 64 << 10
)

// serveEvents sends a viewer's stream of messages, each one a JSON object.
func (p *Page) serveEvents(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return
	}
	v, ok := p.join()
	if !ok {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many viewers, or about to stop", http.StatusServiceUnavailable)
		return
	}
	defer p.leave(v)
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the server's deadlines are for requests that end; an error means that there are none
	send := func(b []byte) bool {
		// A first message may have megabytes: each piece gets the full timeout.
		for piece := range slices.Chunk(b, pieceSize) {
			_ = out.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := w.Write(piece); err != nil || p.ended() {
				return false
			}
		}
		return out.Flush() == nil
	}

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // otherwise nginx buffers messages
	if !send([]byte("retry: 1000\n\n")) {
		return
	}
	var sent frame
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
			if !send([]byte(":\n\n")) {
				return
			}
		case f, ok := <-v.slot:
			if !ok || !send(f.message(&sent)) {
				return
			}
		}
	}
}

// message encodes a frame as a server-sent event, without the parts already sent. It fits on one
// line, since encoded JSON has no line breaks.
func (f *frame) message(sent *frame) []byte {
	var b bytes.Buffer
	b.WriteString(`data: {"at":`)
	b.Write(encode(f.at))
	if f.full {
		b.WriteString(`,"full":true`)
	}
	if f.full || f.overview.version != sent.overview.version {
		b.WriteString(`,"overview":`)
		b.Write(f.overview.json)
	}
	if f.events.version != sent.events.version {
		b.WriteString(`,"events":`)
		b.Write(f.events.json)
	}
	if f.timeline.version != sent.timeline.version {
		b.WriteString(`,"timeline":`)
		b.Write(f.timeline.json)
	}
	b.WriteString(`,"errors":`)
	b.Write(encode(f.errors))
	b.WriteString(`,"failed":`)
	b.Write(encode(f.failed))
	b.WriteString("}\n\n")
	*sent = *f
	return b.Bytes()
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // cannot happen: times and strings
	}
	return data
}
