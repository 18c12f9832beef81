package bridge

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/message"
)

const (
	// The alarm late goes by the median of this many latest events, of which there
	// must be a few: a single old one is nobody's fault.
	lateEvents = 9
	lateFewest = 3
	// Older ones say nothing of the present.
	lateHorizon = time.Hour
	// One that happens so much after its receipt says nothing at all: its time is made
	// up. Clocks differ by less.
	lateAhead = time.Minute
)

// lateness are the latest events' times.
type lateness struct {
	mu     sync.Mutex
	latest [lateEvents]arrival
	n      int // ever noted
}

// arrival is when an event happened, and was sent, or zero, and received.
type arrival struct{ happened, sent, received time.Time }

func (l *lateness) note(happened, sent, received time.Time) {
	if happened.IsZero() || happened.Sub(received) > lateAhead {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest[l.n%lateEvents] = arrival{happened, sent, received}
	l.n++
}

// typical is the event of median lateness among the latest, and of how many it is
// the one.
func (l *lateness) typical(now time.Time) (median arrival, of int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var recent []arrival
	for _, a := range l.latest[:min(l.n, lateEvents)] {
		if now.Sub(a.received) < lateHorizon {
			recent = append(recent, a)
		}
	}
	if len(recent) == 0 {
		return arrival{}, 0
	}
	slices.SortFunc(recent, func(a, b arrival) int { return cmp.Compare(a.late(), b.late()) })
	return recent[len(recent)/2], len(recent)
}

func (a arrival) late() time.Duration { return a.received.Sub(a.happened) }

// whose says where the time went.
func (a arrival) whose() string {
	if a.sent.IsZero() {
		return "Zoom does not say when it sent them"
	}
	zoom, way := a.sent.Sub(a.happened), a.received.Sub(a.sent)
	text := fmt.Sprintf("Zoom took %v until it sent them, the way took %v", max(0, zoom.Round(time.Second)), max(0, way.Round(time.Second)))
	if way > zoom {
		return text + "; look at the network, and at this machine's clock"
	}
	return text + "; nothing on this side can make them come sooner"
}

// judgeLate raises the alarm late over the threshold and clears it below its half.
func (b *Bridge) judgeLate(ctx context.Context) {
	if b.cfg.Alarms.Late <= 0 {
		b.clear(ctx, message.AlarmLate, alarmOff)
		return
	}
	median, of := b.late.typical(b.cfg.Clock(time.Now()))
	switch {
	case of >= lateFewest && median.late() > b.cfg.Alarms.Late:
		b.raise(ctx, message.AlarmLate, fmt.Sprintf("events are received %v after they happened (median of the latest %d; over %v is late): %s",
			median.late().Round(time.Second), of, b.cfg.Alarms.Late, median.whose()))
	case of == 0 && time.Since(b.born) > lateHorizon:
		b.clear(ctx, message.AlarmLate, fmt.Sprintf("no event was received for %v", lateHorizon))
	case of > 0 && median.late() < b.cfg.Alarms.Late/2:
		b.clear(ctx, message.AlarmLate, fmt.Sprintf("events are received %v after they happened (median of the latest %d)", median.late().Round(time.Second), of))
	}
}
