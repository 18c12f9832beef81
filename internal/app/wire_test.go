package app

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/golden"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// TestWire compares everything that a connector leaves in NATS with what earlier versions left
// there: messages, bucket records and announcements, with subjects, headers and bodies. It compares
// bytes instead of using this program's readers, since other programs and replicas of other
// versions read them.
func TestWire(t *testing.T) {
	h := newHarness(t)
	h.settings.AlarmSilent = "auto"
	// Somebody else's stream, which a record mentions.
	if _, err := h.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: 30 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	announced := make(chan *nats.Msg, 1000)
	if _, err := h.js.Conn().ChanSubscribe("zoomstream.zoomstream.presence", announced); err != nil {
		t.Fatal(err)
	}
	h.connected()
	h.sim.Emit(subID, zoomsim.Event{Body: []byte(`{"event":"meeting.started","payload":{"object":{"topic":"<é>"}}}`), TrackingID: "WEB_1", RequestID: "request", Traceparent: "00-ab-cd-01"})
	h.sim.Emit(subID, zoomsim.Event{Body: []byte(`{"event":"odd name."}`), NoTracking: true})
	h.sim.SendRaw(subID, []byte(`{"module":"message","content":"{","header":{"x-zm-trackingid":"WEB_2","Authorization":"secret"}}`), false)
	h.sim.SendRaw(subID, []byte("\xff\x00 no JSON"), true)
	h.sim.Emit(subID, zoomsim.Event{Body: []byte(`{"event":"a.b","x":"` + strings.Repeat("y", 2<<20) + `"}`), TrackingID: "WEB_3"})
	for n := range 3 { // as few late events as the alarm needs
		h.sim.Emit(subID, zoomsim.Event{Body: fmt.Appendf(nil, `{"event":"meeting.ended","n":%d,"event_ts":%d}`, n, time.Now().Add(-2*time.Hour).UnixMilli()), TrackingID: fmt.Sprint("WEB_late_", n)})
	}
	h.await("the alarm is stored", time.Minute, func() bool { return strings.Contains(h.dump("ZOOM"), `"alarm":"late"`) })
	h.sim.Cut(subID)
	h.ready()
	h.await("the gap's marker is stored", time.Minute, func() bool { return strings.Contains(h.dump("ZOOM"), `"cause":"disconnected"`) })
	var lease string
	h.await("a lease is renewed with its epoch", time.Minute, func() bool {
		lease = h.dump("KV_zoomstream")
		return strings.Contains(lease, `"epoch"`)
	})
	h.finish()
	h.start()
	h.await("the next run is connected", time.Minute, func() bool { return strings.Contains(h.dump("ZOOM"), `"cause":"start"`) })
	h.sim.Emit(subID, zoomsim.Event{Body: []byte(`{"event":"meeting.started"}`), TrackingID: "WEB_4"})
	h.finish()

	states := strings.SplitAfter(h.dump("KV_zoomstream-state"), "}\n")
	slices.Sort(states) // their order varies, as they are written at the same time
	var presence []string
	for len(announced) > 0 { // complete ones only: which others there are depends on timing
		text := "zoomstream.zoomstream.presence\n" + string((<-announced).Data) + "\n"
		if text = masked(text); strings.Contains(text, "subscriptions") && !strings.Contains(text, `"leaving":true,"hello"`) && !slices.Contains(presence, text) {
			presence = append(presence, text)
		}
	}
	slices.Sort(presence)
	got := strings.Join([]string{"# announcements\n", strings.Join(presence, ""), "\n# a lease\n", masked(lease), "\n# states\n", masked(strings.Join(states, "")), "\n# messages\n", masked(h.dump("ZOOM"))}, "")
	golden.Compare(t, "wire.txt", got)
}

// dump returns everything in a stream: each message's subject, headers and body.
func (h *harness) dump(name string) string {
	h.t.Helper()
	stream, err := h.js.Stream(h.t.Context(), name)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for sequence := uint64(1); sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		msg, err := stream.GetMsg(h.t.Context(), sequence)
		if err != nil {
			continue // replaced by a later one
		}
		fmt.Fprintln(&b, msg.Subject)
		var keys []string
		for key := range msg.Header {
			if !slices.Contains(told, key) {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		for _, key := range keys {
			fmt.Fprintf(&b, "  %s: %q\n", key, msg.Header[key])
		}
		if len(msg.Data) > 4096 {
			msg.Data = fmt.Appendf(msg.Data[:40:40], "… of %d", len(msg.Data))
		}
		fmt.Fprintf(&b, "%s\n", msg.Data)
	}
	return b.String()
}

// told are headers that the server adds to a message.
var told = []string{"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp"}

// volatile is what differs from run to run.
var volatile = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`(Zoom-Received-At: \[)"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"`), `$1"NANOSECONDS"`},
	{regexp.MustCompile(`(Zoom-Event-At: \[)"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`), `$1"MILLISECONDS"`},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\b[0-9A-Za-z]{22}\b`), "NONCE"},
	{regexp.MustCompile(`v0=[0-9a-f]{64}`), "v0=SIGNATURE"},
	{regexp.MustCompile(`\d+h\d+m\d+s|\b\d+s\b`), "DURATION"},
	{regexp.MustCompile(`"(duration_ms|pid)":\d+`), `"$1":NUMBER`},
	{regexp.MustCompile(`"host":"[^"]*"`), `"host":"HOST"`},
	{regexp.MustCompile(`(x-zm-request-timestamp: \[")\d{10}"`), `${1}SECONDS"`},
	{regexp.MustCompile(`"event_ts":\d+`), `"event_ts":NUMBER`},
	{regexp.MustCompile(`(WEB_late_\d:)[0-9a-f]{16}`), `${1}DIGEST`},
	{regexp.MustCompile(`(alarm:late:sub-1:replica-1:\d:)\d{19}`), `${1}NANOSECONDS`},
	{regexp.MustCompile(`"\d{6}":\d+(,"\d{6}":\d+)?`), `"HOUR":EVENTS`},
	{regexp.MustCompile(`,"fitness":"[a-z]+"`), ``},
	{regexp.MustCompile(`(Nats-Expected-Last-Subject-Sequence: \[)"\d+"`), `$1"NUMBER"`},
	// The second epoch depends on how often the first lease was renewed.
	{regexp.MustCompile(`(Zoom-Epoch: \["|"epoch":|-)([2-9]|\d{2,})("\]|,|\.1")`), `${1}LATER$3`},
}

func masked(text string) string {
	for _, v := range volatile {
		text = v.pattern.ReplaceAllString(text, v.as)
	}
	return text
}
