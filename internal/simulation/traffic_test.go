package simulation

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// traffic emits events of a subscription until ctx ends.
func (w *world) traffic(ctx context.Context, n int) {
	d := dice{rand.New(rand.NewPCG(w.seed, uint64(n)+1))}
	for {
		gap := time.Duration(d.ExpFloat64() / w.rate * float64(time.Second))
		select {
		case <-time.After(gap):
		case <-ctx.Done():
			return
		}
		w.sim.Emit(subscription(n), event(d))
	}
}

// names are the names of the events.
var names = []string{"meeting.started", "meeting.ended", "meeting.participant_joined", "recording.completed", "app_deauthorized", "phone.callee_ringing"}

// event draws an event in one of the forms that Zoom may send. Most are small, which is faster. No
// two are alike.
func event(d dice) zoomsim.Event {
	e := zoomsim.Event{Name: pick(d, names...)}
	if !d.chance(10) {
		e.Body = fmt.Appendf(nil, `{"event":%q,"event_ts":%d,"payload":{"object":{"id":"%d"}}}`, e.Name, time.Now().UnixMilli(), d.Uint64())
	}
	switch n := d.IntN(100); {
	case n < 5:
		e.AsObject = true
	case n < 10:
		e.Repeat = 2
	case n < 13:
		e.NoTracking = true
	case n < 20:
		e.Traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	}
	return e
}

func (w *world) burst(sub string, n int) {
	for i := range n {
		w.sim.Emit(sub, zoomsim.Event{Body: fmt.Appendf(nil, `{"event":%q,"payload":{"burst":"%d of %s"}}`, names[i%len(names)], i, time.Now())})
	}
}

// garbage sends broken frames. None holds an event.
func (w *world) garbage(sub string, n int) {
	frames := zoomsim.GarbageFrames()
	kinds := slices.DeleteFunc(slices.Sorted(maps.Keys(frames)), func(kind string) bool { return strings.HasPrefix(kind, "odd-") })
	for i := range n {
		w.sim.SendRaw(sub, frames[kinds[(i*7)%len(kinds)]], false)
	}
}

// stranger connects to the subscription with the app's credentials, as somebody else would. It
// holds the subscription, or connects again and again.
func (w *world) stranger(sub string, s step) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return w.web.Dial(ctx, "stranger") }}}
	ctx, cancel := context.WithTimeout(context.Background(), s.last)
	defer cancel()
	for range max(1, s.n) {
		url := "ws://localhost/ws?subscriptionId=" + sub + "&access_token=" + w.sim.IssueToken()
		conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			w.journal.note("the stranger does not get in: %T", err)
			return
		}
		conn.SetReadLimit(-1)
		for err == nil {
			_, _, err = conn.Read(ctx)
		}
		conn.CloseNow()
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.last / 10):
		}
	}
}
