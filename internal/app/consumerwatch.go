package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zoomstream/zoomstream/internal/outbox"
	"github.com/zoomstream/zoomstream/internal/watch/consumers"
	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/message"
)

const (
	// consumersIdle is how often the stream's consumers are read, unless its max_age is short.
	consumersIdle = 15 * time.Second
	// consumersPerAge is the minimum number of rounds within the stream's max_age.
	consumersPerAge = 20
	// consumersTimeout bounds a round. A missing permission shows as this timeout.
	consumersTimeout = 5 * time.Second
	// deniedPause is the wait after a permission violation before consumers are listed again: the
	// server and this process log each attempt.
	deniedPause = time.Hour
	// consumersNamed bounds how many consumers an alarm's text names.
	consumersNamed = 5
)

// consumerWatch watches the stream's consumers while this replica leads the first of its
// subscriptions, so that only one of the replicas with the same subscriptions watches.
type consumerWatch struct {
	r      *replica
	latest atomic.Pointer[status.Consumers] // nil: another replica watches, or nothing was read yet

	// Below: used by run only.
	reader *consumers.Reader // nil: another replica watches
	due    time.Time
}

// report returns the latest reading; nil if another replica watches. It is safe for concurrent use.
func (w *consumerWatch) report() *status.Consumers { return w.latest.Load() }

// run watches until the context ends.
func (w *consumerWatch) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		w.round(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *consumerWatch) round(ctx context.Context, now time.Time) {
	if !w.owns() {
		w.reader = nil
		w.latest.Store(nil)
		return
	}
	if !w.r.nc.IsConnected() {
		w.due = now // permissions may have changed by the reconnect
		return
	}
	if w.reader == nil {
		w.reader, w.due = consumers.NewReader(w.r.js, w.r.o.Config.Stream), now
	}
	if now.Before(w.due) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, consumersTimeout)
	defer cancel()
	report, err := w.reader.Read(ctx)
	w.due = now.Add(w.period())
	if err != nil {
		report = &status.Consumers{Durable: []status.Consumer{}, Trouble: err.Error()}
		if _, denied := errors.AsType[*status.DeniedError](err); denied {
			w.due = now.Add(deniedPause)
		}
	}
	report.At = w.r.monitor.clock(time.Now()).UTC()
	w.latest.Store(report)
}

// owns reports whether this replica leads the first of its subscriptions.
func (w *consumerWatch) owns() bool {
	_, leads := w.r.candidate.Margin(slices.Min(subscriptions(w.r.o.Config)))
	return leads
}

func (w *consumerWatch) period() time.Duration {
	if age := w.reader.MaxAge(); age > 0 {
		return max(time.Second, min(consumersIdle, age/consumersPerAge))
	}
	return consumersIdle
}

// consumersTrouble names the consumers that are stuck or about to lose events. A failed reading
// does not clear the alarm.
func (r *replica) consumersTrouble(outbox.Stats) (text string, known bool) {
	report := r.consumerWatch.report()
	if report == nil { // another replica watches them
		r.setAlarm(message.AlarmConsumers, false, "this replica no longer watches the consumers")
		return "", false
	}
	text = describeConsumers(report)
	return text, text != "" || report.Trouble == ""
}

func describeConsumers(report *status.Consumers) string {
	var named []string
	for i := range report.Durable {
		if c := &report.Durable[i]; c.Note() != "" {
			named = append(named, fmt.Sprintf("consumer %s: %s (%d pending, %d unacknowledged)", c.Name, c.Note(), c.Pending, c.Unacknowledged))
		}
	}
	if more := len(named) - consumersNamed; more > 0 {
		named = append(named[:consumersNamed], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(named, "; ")
}
