package doctor

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/eventnames"
)

// TestMissesKeys: which filters miss events once their subjects have no, one or two keys.
func TestMissesKeys(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string][3]bool{ // by the number of keys: none, one, two
		"zoom.meeting.started":          {false, true, true},
		"zoom.meeting.*":                {false, true, true},
		"zoom.*.started":                {false, true, true},
		"*.*.*":                         {false, true, true},
		"zoom.meeting.started.860":      {false, false, true},
		"zoom.meeting.started.*":        {false, false, true},
		"zoom.meeting.started.*.860":    {},
		"zoom.meeting.started.>":        {},
		"zoom.meeting.>":                {},
		"zoom.app_deauthorized":         {false, true, true},
		"zoom.app_deauthorized._":       {false, false, true},
		"zoom.app_deauthorized._._":     {},
		"zoom.meeting":                  {true, true, true},
		"zoom._bridge.gap":              {},
		"zoom.>":                        {},
		"zoom":                          {},
		">":                             {},
		"*":                             {},
		"other.meeting.started":         {},
		"other.zoom.meeting.started":    {},
		"zoomed.meeting.started":        {},
		"zoom.interactive_message_edit": {true, true, true},
	} {
		for keys, want := range want {
			if got := missesKeys(filter, "zoom", keys); got != want {
				t.Errorf("%s misses %d keys: %t", filter, keys, got)
			}
		}
	}
	if !missesKeys("acme.zoom.meeting.started", "acme.zoom", 1) || missesKeys("acme.zoom.meeting.started", "zoom", 1) || missesKeys("acme.>", "acme.zoom", 1) {
		t.Error("a prefix of several tokens is read wrongly")
	}
}

// TestNamesAreTwoTokensAtMost: missesKeys relies on that.
func TestNamesAreTwoTokensAtMost(t *testing.T) {
	for _, name := range eventnames.All() {
		if strings.Count(name, ".") > 1 {
			t.Errorf("%s is more", name)
		}
	}
}

// TestFilters: a consumer that is edited as doctor says gets the events with keys and those
// without.
func TestFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	w.stream()
	const on = "ZOOMSTREAM_SUBJECT_KEY=object"
	stream, err := w.js.Stream(t.Context(), "ZOOM")
	must(t, err)
	for _, c := range []jetstream.ConsumerConfig{
		{Durable: "all"}, {Durable: "gaps", FilterSubject: "zoom._bridge.>"}, {Durable: "meetings", FilterSubject: "zoom.meeting.>"},
		{Durable: "both", FilterSubjects: []string{"zoom.meeting.ended", "zoom.meeting.ended.>"}},
	} {
		_, err := stream.CreateConsumer(t.Context(), c)
		must(t, err)
	}
	w.run(on).has(StreamFilters, Pass, "4 consumers")
	for _, c := range w.run().Checks {
		if c.Check == StreamFilters {
			t.Errorf("without keys: %+v", c)
		}
	}

	billing := jetstream.ConsumerConfig{Durable: "billing", FilterSubjects: []string{"zoom.user.>", "zoom.meeting.started"}}
	_, err = stream.CreateConsumer(t.Context(), billing)
	must(t, err)
	_, err = stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "x;reboot;$(id)'s", FilterSubject: "zoom.user.created"})
	must(t, err)
	_, err = stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{FilterSubject: "zoom.meeting.ended"})
	must(t, err)
	for _, subject := range []string{"zoom.meeting.started", "zoom.meeting.started.860"} {
		_, err := w.js.Publish(t.Context(), subject, nil)
		must(t, err)
	}
	r := w.run(on)
	must(t, r.Err())
	r.has(StreamFilters, Warn, "consumer billing filters on zoom.meeting.started,", "ZOOMSTREAM_SUBJECT_KEY=object",
		"nats consumer edit ZOOM 'billing' --filter='zoom.user.>' --filter='zoom.meeting.started' --filter='zoom.meeting.started.>'")
	r.has(StreamFilters, Warn, `nats consumer edit ZOOM 'x;reboot;$(id)'\''s' --filter='zoom.user.created'`)
	r.has(StreamFilters, Warn, "have its program ask for 'zoom.meeting.ended.>' as well")
	billing.FilterSubjects = append(billing.FilterSubjects, "zoom.meeting.started.>")
	consumer, err := stream.UpdateConsumer(t.Context(), billing)
	must(t, err)
	if got := consumer.CachedInfo().NumPending; got != 2 {
		t.Errorf("%d events are pending, want 2", got)
	}
}
