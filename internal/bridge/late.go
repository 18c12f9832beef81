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
	// The alarm late depends on the median of the latest lateEvents events. It needs at
	// least lateMinEvents: a single late event is no alarm.
	lateEvents    = 9
	lateMinEvents = 3
	// lateMaxAge is the age, since its receipt, up to which an event counts.
	lateMaxAge = time.Hour
	// lateMaxSkew is how long after its receipt an event may seem to have happened. Clocks
	// differ by less; a later time is made up.
	lateMaxSkew = time.Minute
)

// lateness holds the times of the latest events. It is safe for concurrent use.
type lateness struct {
	mu     sync.Mutex
	latest [lateEvents]arrival
	n      int // how many were ever added
}

// arrival is when an event happened, was sent (zero: unknown) and was received.
type arrival struct{ happened, sent, received time.Time }

func (l *lateness) add(happened, sent, received time.Time) {
	if happened.IsZero() || happened.Sub(received) > lateMaxSkew {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest[l.n%lateEvents] = arrival{happened, sent, received}
	l.n++
}

// median returns the event with the median lateness, and the number of events considered.
func (l *lateness) median(now time.Time) (median arrival, of int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var recent []arrival
	for _, a := range l.latest[:min(l.n, lateEvents)] {
		if now.Sub(a.received) < lateMaxAge {
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

// explain says where the time went.
func (a arrival) explain() string {
	if a.sent.IsZero() {
		return "Zoom does not say when it sent them"
	}
	zoom, delivery := a.sent.Sub(a.happened), a.received.Sub(a.sent)
	text := fmt.Sprintf("Zoom took %v to send them, delivery took %v", max(0, zoom.Round(time.Second)), max(0, delivery.Round(time.Second)))
	if delivery > zoom {
		return text + "; look at the network, and at this machine's clock"
	}
	return text + "; nothing on this side can make them arrive sooner"
}

// checkLateness raises the alarm late above the threshold and clears it below half of it, or
// when no event was received for lateMaxAge.
func (b *Bridge) checkLateness(ctx context.Context) {
	if b.cfg.Alarms.Late <= 0 {
		b.clearAlarm(ctx, message.AlarmLate, alarmOff)
		return
	}
	median, of := b.late.median(b.cfg.Clock(time.Now()))
	switch {
	case of >= lateMinEvents && median.late() > b.cfg.Alarms.Late:
		b.raiseAlarm(ctx, message.AlarmLate, fmt.Sprintf("events are received %v after they happened (median of the latest %d; over %v is late): %s",
			median.late().Round(time.Second), of, b.cfg.Alarms.Late, median.explain()))
	case of == 0 && time.Since(b.started) > lateMaxAge:
		b.clearAlarm(ctx, message.AlarmLate, fmt.Sprintf("no event has been received for %v", lateMaxAge))
	case of > 0 && median.late() < b.cfg.Alarms.Late/2:
		b.clearAlarm(ctx, message.AlarmLate, fmt.Sprintf("events are received %v after they happened (median of the latest %d)", median.late().Round(time.Second), of))
	}
}
