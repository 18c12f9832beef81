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
	// writeTimeout drops a viewer that takes nothing for longer. A browser that draws hundreds
	// of subscriptions on a busy machine takes nothing for seconds.
	writeTimeout = 15 * time.Second
	pieceSize    = 64 << 10
)

// serveEvents is a viewer's stream of messages, each one JSON object.
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
	_ = out.SetReadDeadline(time.Time{}) // the server's are for requests that end; where there are none, none is needed
	send := func(b []byte) bool {
		// A first message may have megabytes: what counts is that they go on.
		for piece := range slices.Chunk(b, pieceSize) {
			_ = out.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := w.Write(piece); err != nil || p.ended() {
				return false
			}
		}
		return out.Flush() == nil
	}

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold messages back
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

// message is the server-sent event of a frame, without the parts that were sent
// before. JSON has no line breaks, so that it is one line.
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
		panic(err) // times and texts
	}
	return data
}
