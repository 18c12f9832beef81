package bridge

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func TestMedianLateness(t *testing.T) {
	var l lateness
	if _, of := l.median(noon); of != 0 {
		t.Error("out of nothing")
	}
	l.add(time.Time{}, noon, noon) // an event without a time
	if _, of := l.median(noon); of != 0 {
		t.Error("an event without a time counts")
	}
	for n, late := range []time.Duration{time.Hour, time.Second, 2 * time.Second, 3 * time.Second, time.Minute} {
		l.add(noon.Add(-late), time.Time{}, noon.Add(time.Duration(n)*time.Second))
	}
	if m, of := l.median(noon.Add(time.Minute)); of != 5 || m.late() != 5*time.Second && m.late() != 4*time.Second+2*time.Second {
		t.Errorf("median %s of %d", m.late(), of)
	}
	for n := range 100 { // only the latest nine count
		l.add(noon.Add(-time.Minute), time.Time{}, noon.Add(time.Duration(n)*time.Millisecond))
	}
	if m, of := l.median(noon.Add(time.Minute)); of != lateEvents || m.late() < time.Minute || m.late() > 61*time.Second {
		t.Errorf("median %s of %d", m.late(), of)
	}
	if _, of := l.median(noon.Add(lateMaxAge + time.Second)); of != 0 {
		t.Errorf("%d are of the last hour", of)
	}
	for range 4 { // four of nine cannot change the median, five can
		l.add(noon.Add(-time.Hour), time.Time{}, noon)
	}
	if m, _ := l.median(noon); m.late() > 2*time.Minute {
		t.Errorf("median %s", m.late())
	}
	l.add(noon.Add(-time.Hour), time.Time{}, noon)
	if m, _ := l.median(noon); m.late() < time.Hour {
		t.Errorf("median %s", m.late())
	}
}

// isLateAfter reports whether the alarm is raised after events of the given lateness, all received
// at noon.
func isLateAfter(t *testing.T, b *Bridge, late ...time.Duration) (raised bool) {
	for _, d := range late {
		b.late.add(noon.Add(-d), noon, noon)
		b.checkLateness(t.Context())
	}
	return slices.Contains(b.raisedAlarms(), message.AlarmLate)
}

func TestLateIsRaisedAndCleared(t *testing.T) {
	const hour, second = time.Hour, time.Second
	for name, c := range map[string]struct {
		late []time.Duration
		want bool
	}{
		"two are too few":          {[]time.Duration{2 * hour, 2 * hour}, false},
		"three":                    {[]time.Duration{2 * hour, 2 * hour, 2 * hour}, true},
		"just the bound":           {[]time.Duration{5 * time.Minute, 5 * time.Minute, 5 * time.Minute}, false},
		"one old one among others": {[]time.Duration{second, 2 * hour, second, second}, false},
		"from the future":          {[]time.Duration{-time.Hour, -time.Hour, -time.Hour, -time.Hour}, false},
		"on time again":            {[]time.Duration{hour, hour, hour, second, second, second, second}, false},
		"not yet":                  {[]time.Duration{hour, hour, hour, second, second}, true},
		"better, not good":         {[]time.Duration{hour, hour, hour, 3 * time.Minute, 3 * time.Minute, 3 * time.Minute, 3 * time.Minute, 3 * time.Minute, 3 * time.Minute, 3 * time.Minute}, true},
		"made up":                  {[]time.Duration{hour, hour, hour, -hour, -hour, -hour, -hour, -24 * hour, -2 * time.Minute, -hour}, true},
		"made up and on time":      {[]time.Duration{hour, hour, hour, -hour, second, -hour, second, -hour, second, -hour, second}, false},
		"made up among late ones":  {[]time.Duration{-hour, hour, -hour, hour, -hour, hour}, true},
		"a clock a bit ahead":      {[]time.Duration{hour, hour, hour, -second, -second, -30 * second, -second}, false},
	} {
		b := newBridge(t)
		b.dialer = zoom.NewDialer(zoom.Config{})
		b.cfg.Alarms.Late, b.cfg.Clock = 5*time.Minute, func(time.Time) time.Time { return noon }
		if got := isLateAfter(t, b, c.late...); got != c.want {
			t.Errorf("%s: raised %v", name, got)
		}
	}
}

func TestLateIsOff(t *testing.T) {
	b := newBridge(t)
	b.cfg.Clock = func(time.Time) time.Time { return noon }
	if isLateAfter(t, b, time.Hour, time.Hour, time.Hour, time.Hour) {
		t.Error("raised")
	}
}

func TestExplainLateness(t *testing.T) {
	for _, c := range []struct {
		zoom, way time.Duration
		want      string
	}{
		{2 * time.Hour, time.Second, "nothing on this side"}, {time.Second, 2 * time.Hour, "look at the network, and at this machine's clock"},
		{2 * time.Hour, -time.Hour, "nothing on this side"}, {time.Minute, time.Minute, "nothing on this side"},
	} {
		a := arrival{happened: noon, sent: noon.Add(c.zoom), received: noon.Add(c.zoom + c.way)}
		if got := a.explain(); !strings.Contains(got, c.want) {
			t.Errorf("%s and %s: %q", c.zoom, c.way, got)
		}
	}
	if got := (arrival{happened: noon, received: noon.Add(time.Hour)}).explain(); !strings.Contains(got, "does not say") {
		t.Errorf("%q", got)
	}
	// Zoom's times are in whole seconds, so an event may seem to be sent before it happened.
	a := arrival{happened: noon.Add(900 * time.Millisecond), sent: noon, received: noon.Add(time.Hour)}
	if got := a.explain(); strings.Contains(got, "-") {
		t.Errorf("nothing takes less than no time: %q", got)
	}
}
