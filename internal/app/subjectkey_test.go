package app

import (
	"slices"
	"testing"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

// TestSubjectKeyIsChanged: an event that is sent again after each change of the setting is stored
// once. New events are on a subject with the configured keys.
func TestSubjectKeyIsChanged(t *testing.T) {
	h := newHarness(t)
	event := func(id string) zoomsim.Event {
		return zoomsim.Event{Body: []byte(`{"event":"meeting.started","payload":{"account_id":"a.b","object":{"id":` + id + `}}}`), TrackingID: "WEB_1"}
	}
	for _, c := range []struct{ keys, id string }{{"off", "860"}, {"object", "861"}, {"account.object", "862"}, {"off", "863"}} {
		h.settings.SubjectKey = c.keys
		h.connected()
		h.sim.Emit(subID, event("860"))
		h.sim.Emit(subID, event(c.id))
		h.finish()
		if err := h.sim.Wait(t.Context(), subID, func(s zoomsim.Summary) bool { return s.Live == 0 }); err != nil { // otherwise Zoom may send to the old connection
			t.Fatal(err)
		}
	}
	var got []string
	for _, msg := range h.stored() {
		if message.KindOf("zoom", msg.Subject()) == message.KindEvent {
			got = append(got, msg.Subject())
		}
	}
	want := []string{"zoom.meeting.started", "zoom.meeting.started.861", "zoom.meeting.started.a%2Eb.862", "zoom.meeting.started"}
	if !slices.Equal(got, want) {
		t.Errorf("the events are on %q, want %q", got, want)
	}
}
