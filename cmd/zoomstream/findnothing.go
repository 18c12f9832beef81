package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	zstatus "github.com/zoomstream/zoomstream/internal/watch/status"
)

// waiting is what replicas have received but the stream has not stored yet.
type waiting struct {
	Known    bool     `json:"known"` // at least one replica has answered
	Replicas []waiter `json:"replicas"`
	Silent   []string `json:"silent"` // replicas that do not answer
}

// waiter is a replica with waiting messages. A message in the spool may also count as in flight.
type waiter struct {
	Replica  string `json:"replica"`
	Spooled  int    `json:"spool_messages"`
	InFlight int    `json:"in_flight"`
}

func (w waiter) String() string {
	n := max(w.Spooled, w.InFlight)
	wait, are := "wait", "are"
	if n == 1 {
		wait, are = "waits", "is"
	}
	where := fmt.Sprintf("%s in %s's spool", wait, zstatus.Visible(w.Replica))
	if w.Spooled == 0 {
		where = fmt.Sprintf("%s on the way from %s", are, zstatus.Visible(w.Replica))
	}
	return fmt.Sprintf("%s %s, and %s not in the stream yet", counted(n, "message"), where, are)
}

// askWaiting asks the replicas what is not in the stream yet. An unknown answer is no error.
func askWaiting(ctx context.Context, js jetstream.JetStream, bucket string) *waiting {
	w := &waiting{Replicas: []waiter{}, Silent: []string{}}
	overview, err := zstatus.Ask(ctx, js, zstatus.AskOptions{Bucket: bucket})
	if err != nil {
		return w
	}
	for _, m := range overview.Replicas {
		switch {
		case !m.Answered:
			w.Silent = append(w.Silent, m.Replica)
		case m.Outbox.Spooled > 0 || m.Outbox.InFlight > 0:
			w.Replicas = append(w.Replicas, waiter{m.Replica, m.Outbox.Spooled, m.Outbox.InFlight})
		}
		w.Known = w.Known || m.Answered
	}
	return w
}

// notFound says in one line what was searched, and what to check next.
func notFound(f *found) error {
	reasons := []string{inGaps(f)}
	for _, w := range f.Waiting.Replicas {
		reasons = append(reasons, w.String())
	}
	for _, replica := range f.Waiting.Silent {
		reasons = append(reasons, fmt.Sprintf("%s does not answer: what waits in its spool is not known", zstatus.Visible(replica)))
	}
	if !f.Waiting.Known && len(f.Waiting.Silent) == 0 {
		reasons = append(reasons, "no replica answers: what waits in a spool is not known")
	}
	if len(reasons) == 1 && len(f.Gaps) == 0 {
		reasons[0] += ": Zoom has not sent it, or it is older"
	}
	looked := fmt.Sprintf("%s looked at in stream %s, stored since %s.%s", counted(int(f.Looked), "message"), f.Stream, moment(f.Since), holds(f.Since, f.Holds))
	return fmt.Errorf("%s is not found: %s; %s", quoted(f.Searched), strings.TrimSuffix(looked, "."), strings.Join(reasons, "; "))
}

func inGaps(f *found) string {
	const shown = 3
	n := len(f.Gaps)
	if n == 0 {
		return "no gap in that time"
	}
	var list []string
	for _, g := range f.Gaps[max(0, n-shown):] {
		list = append(list, fmt.Sprintf("%s for %s", moment(g.From), lasted(g.Duration)))
	}
	return fmt.Sprintf("%s in that time, in which it may be lost (%s%s), see zoomstream gaps",
		counted(n, "gap"), map[bool]string{true: "the last ones: "}[n > shown], strings.Join(list, ", "))
}
