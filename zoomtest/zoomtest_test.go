package zoomtest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/zoomtest"
)

func TestEmitting(t *testing.T) {
	sim := zoomtest.Start(t, zoomtest.Options{Subscription: "a b", SecretToken: "shh"})
	if err := sim.EmitBody([]byte("{}")); !errors.Is(err, zoomtest.ErrNobody) || strings.Contains(err.Error(), "allow-nobody") { // an option that zoomtest does not have
		t.Error(err)
	}
	if _, _, err := sim.EmitMeeting(t.Context(), 0, 0); !errors.Is(err, zoomtest.ErrNobody) {
		t.Error(err)
	}
	if !slices.Contains(sim.Env(), "ZOOM_SECRET_TOKEN=shh") {
		t.Error(sim.Env())
	}
	conn, err := connect(t.Context(), sim.Env())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := sim.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sim.Emit("meeting.strated"); !errors.Is(err, zoomtest.ErrUnknownEvent) {
		t.Error(err)
	}
	if err := sim.Emit("meeting.started", "payload.object.id.x=1"); err == nil {
		t.Error("a member of a string was set")
	}
	if err := sim.Do("explode"); err == nil {
		t.Error("an unknown action was done")
	}
	id, uuid, err := sim.EmitMeeting(t.Context(), 0, 0)
	if err != nil || id == 0 || uuid == "" {
		t.Error(id, uuid, err)
	}
	ended, end := context.WithCancelCause(t.Context())
	why := errors.New("the test ends it")
	end(why)
	if _, _, err := sim.EmitMeeting(ended, 5, time.Hour); !errors.Is(err, why) {
		t.Error(err)
	}
	if n, err := sim.Replay(t.Context(), strings.NewReader(`{"event":"my.own"}`), 0); n != 1 || err != nil {
		t.Error(n, err)
	}
	if err := sim.EmitBody([]byte(`{"event":"my.other"}`)); err != nil {
		t.Error(err)
	}
	for e, err := read(t.Context(), conn); e.Event != "my.other"; e, err = read(t.Context(), conn) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := sim.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	events := sim.Events()
	if n := len(events); n != 9 || events[n-1].Name != "my.other" || events[n-1].Outcome != zoomtest.Written || events[n-1].TrackingID == "" {
		t.Errorf("%+v", events)
	}
	sim.Close()
	sim.Close()
}
