package page_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/zoomstream/zoomstream/internal/watch/page"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// world is what a source returns: something believable, which a test may change.
type world struct {
	mu       sync.Mutex
	overview status.Overview
	events   []page.Event
	moments  []page.Moment
	away     error  // NATS is away, with this error
	body     string // body of all events, if not empty
	polls    int
	full     int // polls with history
}

func (w *world) source() page.Source {
	return page.Source{
		Overview: func(_ context.Context, history bool) (*status.Overview, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.polls++
			if w.away != nil {
				return nil, w.away
			}
			o := w.overview
			o.At = time.Now().UTC()
			o.Subscriptions = append([]status.Line{}, o.Subscriptions...)
			for i := range o.Subscriptions {
				if !history {
					o.Subscriptions[i].History = nil
				}
			}
			if history {
				w.full++
			}
			return &o, nil
		},
		Events: func(context.Context) ([]page.Event, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return append([]page.Event{}, w.events...), w.away
		},
		Timeline: func(context.Context) ([]page.Moment, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return append([]page.Moment{}, w.moments...), w.away
		},
		Message: func(_ context.Context, seq uint64) (*page.Stored, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, e := range w.events {
				if e.Seq == seq && w.away == nil {
					return page.NewStored(seq, e.Subject, e.At, map[string][]string{
						"Nats-Msg-Id": {e.ID}, "Zoom-Event": {e.Event}, "Zoom-Subscription": {e.Subscription}, "Zoom-Object-Id": {"86017254931"},
					}, []byte(cmp.Or(w.body, body(e)))), nil
				}
			}
			return nil, cmp.Or(w.away, page.ErrNotThere)
		},
		Search: func(_ context.Context, what string, since time.Time) (*page.Found, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			found := &page.Found{Events: []page.Event{}, Malformed: []page.Event{}, Since: since, Looked: 184_467}
			for _, e := range w.events {
				if e.Event == what || e.ID == what {
					e.Matched = "Zoom-Event"
					found.Events = append(found.Events, e)
				}
			}
			return found, w.away
		},
	}
}

// body returns the body of an event.
func body(e page.Event) string {
	return fmt.Sprintf(`{"event":%q,"event_ts":%d,"payload":{"account_id":"QmT7xVb2RkaLw0Zp9sYd1g","object":{"id":86017254931,"uuid":"+q/7Zk1dQvGm0yT4nB9x3A==","topic":%q,"type":2,"host_id":"x1yCzABCDEfg23HiJKl4mN","participant":{"user_name":"Jill Chill","email":"jill@example.com"}}}}`,
		e.Event, e.At.UnixMilli(), e.Topic)
}

// change changes the world while somebody watches it.
func (w *world) change(f func(w *world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w)
}

// asked returns the number of polls, and of those with history.
func (w *world) asked() (polls, full int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.polls, w.full
}

var accounts = []string{"meetings", "webinars", "phone", "recordings", "users", "contact-center", "rooms", "team-chat"}

// demo returns a world with so many subscriptions, three replicas and nothing wrong.
func demo(subscriptions int) *world {
	now := time.Now().UTC()
	w := &world{overview: status.Overview{
		Bucket: "zoomstream", Stream: "ZOOM",
		Alarms: []status.Alarm{},
		Replicas: []status.Member{
			member("zoomstream-0", now.Add(-52*time.Hour)), member("zoomstream-1", now.Add(-3*time.Hour)), member("zoomstream-2", now.Add(-52*time.Hour)),
		},
	}}
	for i := range subscriptions {
		name := accounts[i%len(accounts)]
		if i >= len(accounts) {
			name = fmt.Sprintf("%s-%02d", name, i/len(accounts)+1)
		}
		leader, others := i%3, []string{}
		for r := range 3 {
			if r != leader {
				others = append(others, fmt.Sprintf("zoomstream-%d", r))
			}
		}
		w.overview.Subscriptions = append(w.overview.Subscriptions, line(name, fmt.Sprintf("zoomstream-%d", leader), others, now, i))
		w.overview.Replicas[leader].Leads++
		for r := range 3 {
			if r != leader {
				w.overview.Replicas[r].StandsBy++
			}
		}
		since := now.Add(-7 * time.Minute).Add(time.Duration(i%24*17) * time.Second)
		w.moments = append(w.moments,
			page.Moment{At: now.Add(-11 * time.Minute), Until: now.Add(-11*time.Minute + 1400*time.Millisecond), Kind: page.KindGap, Subscription: name, Replica: others[0], Detail: "disconnected"},
			page.Moment{At: since, Kind: page.KindLeader, Subscription: name, Replica: fmt.Sprintf("zoomstream-%d", leader), Previous: others[0], Name: page.Handover})
	}
	kinds := []string{"meeting.started", "meeting.participant_joined", "recording.completed", "meeting.participant_left", "user.updated", "meeting.ended"}
	topics := []string{"Weekly planning", "1:1 Ana / Jörg", "", "Vorstellung Q4 – Überblick", "", "Tägliches Stand-up"}
	for i := range 24 {
		late := 0.11 + 0.07*math.Abs(math.Sin(float64(i)*1.7))
		w.events = append(w.events, page.Event{
			Seq: uint64(184_467 - i), Subject: "zoom." + kinds[i%6], Event: kinds[i%6], Subscription: w.overview.Subscriptions[i%subscriptions].Subscription.Subscription,
			At: now.Add(-time.Duration(i*i) * 700 * time.Millisecond), LateSeconds: &late, Topic: topics[i%6],
			ID: fmt.Sprintf("v=2.0;clid=us02;rid=WEB_%08x:9f3c61d2a0b4%04x", 0x51ab00+i*977, i*313),
		})
	}
	return w
}

func member(name string, started time.Time) status.Member {
	return status.Member{
		Replica: name, Nonce: "n-" + name, Host: "node-" + name[len(name)-1:], PID: 7, Version: "v0.5.0", Started: started, Phase: status.Ready, Answered: true,
		Outbox: status.Outbox{NATS: true, Server: "nats-1", Stream: "ZOOM", Direct: true, InFlight: 2, Max: 1 << 30},
	}
}

func line(name, leader string, standbys []string, now time.Time, i int) status.Line {
	since := now.Add(-7 * time.Minute).Add(time.Duration(i%24*17) * time.Second)
	l := status.Line{Standbys: standbys, Answered: true, From: leader, Subscription: status.Subscription{
		Subscription: name, Role: status.Leader, Leader: leader, LeaderNonce: "n-" + leader, Epoch: uint64(4711 + i), Since: since,
		State: "connected", StateSince: since.Add(300 * time.Millisecond), LastFrame: now.Add(-3 * time.Second), LastEvent: now.Add(-time.Second),
		RoundTrip: 41.7, Trusted: 11.2, Events: 52_310, Published: 52_291, Duplicates: 19, Connects: 3, InFlight: 2, Rate: 12.4 / float64(i+1),
		Late: status.Quantiles{Count: 256, P50: 0.148, P99: 0.61}, Zoom: status.Quantiles{Count: 256, P50: 0.006, P99: 0.09},
		Way: status.Quantiles{Count: 256, P50: 0.581, P99: 1.07}, Store: status.Quantiles{Count: 256, P50: 0.004, P99: 0.012},
		LastGap: &status.Gap{From: now.Add(-11 * time.Minute), To: now.Add(-11*time.Minute + 1400*time.Millisecond), Duration: 1.4, Cause: "disconnected", Certain: true},
	}}
	// Fluctuations that look like traffic, and are always the same.
	noise := func(s int) float64 {
		_, f := math.Modf(math.Abs(math.Sin(float64(s*31+i*7)*12.9898) * 43758.5453))
		return f
	}
	for s := range 180 {
		wave, peak := math.Sin(float64(s)/31+float64(i)), math.Exp(-math.Pow(float64(s)-49, 2)/8)
		l.History = append(l.History, status.Sample{
			At: now.Add(time.Duration(s-180) * 5 * time.Second), Rate: (11 + 3*wave + 5*noise(s)) * (1 - peak) / float64(i+1),
			P50: 0.13 + 0.04*noise(s+500), P99: 0.35 + 0.4*noise(s+900) + 4*peak,
		})
	}
	return l
}

// young has the stream and the process exist for only four minutes.
func young(w *world) {
	now := time.Now().UTC()
	began := now.Add(-4 * time.Minute)
	w.moments = []page.Moment{{At: began, Kind: page.KindBegan}}
	for i := range w.overview.Subscriptions {
		l := &w.overview.Subscriptions[i]
		l.Since, l.StateSince, l.LastGap = began.Add(time.Second), began.Add(2*time.Second), nil
		l.History = l.History[len(l.History)-47:]
		w.moments = append(w.moments, page.Moment{At: l.Since, Kind: page.KindLeader, Subscription: l.Subscription.Subscription, Replica: l.Leader})
	}
}

// changes has the first subscription go through everything that can happen to its leadership.
func changes(w *world) {
	at := func(minutes int) time.Time { return time.Now().Add(time.Duration(minutes) * time.Minute) }
	leader := func(minutes int, name, from, to string) page.Moment {
		return page.Moment{At: at(minutes), Kind: page.KindLeader, Subscription: "meetings", Replica: to, Previous: from, Name: name}
	}
	w.moments = []page.Moment{
		leader(-13, page.Handover, "b", "a"), leader(-11, page.Rebalance, "a", "b"), leader(-9, page.Crash, "b", "a"), leader(-7, "", "a", "zoomstream-0"),
		{At: at(-4), Kind: page.KindAlarm, Subscription: "meetings", Name: "late"}, {At: at(-3), Kind: page.KindMalformed, Subscription: "meetings", Detail: "no JSON"},
	}
	l := &w.overview.Subscriptions[0]
	l.Since, l.LastGap, l.Connection, l.StateSince = at(-7), nil, 1, at(-7)
}

// trouble adds late events, an alarm, a subscription without a connection, and a replica that is
// gone.
func trouble(w *world) {
	now := time.Now().UTC()
	o := &w.overview
	late := &o.Subscriptions[0]
	late.Late, late.Zoom = status.Quantiles{Count: 91, P50: 7384, P99: 7920}, status.Quantiles{Count: 91, P50: 7383.9, P99: 7919}
	late.Way, late.Store = status.Quantiles{Count: 91, P50: 0.508, P99: 1.03}, status.Quantiles{Count: 91, P50: 0.004, P99: 0.02}
	for i := range late.History {
		if s := &late.History[i]; now.Sub(s.At) < 6*time.Minute {
			s.P50, s.P99 = 7384, 7920
		}
	}
	o.Alarms = append(o.Alarms, status.Alarm{Alarm: "late", Subscription: late.Subscription.Subscription, Replica: late.Leader, Since: now.Add(-6 * time.Minute), Detail: "Zoom sends events 2 h 3 min late"})
	w.moments = append(w.moments, page.Moment{At: now.Add(-6 * time.Minute), Kind: page.KindAlarm, Subscription: late.Subscription.Subscription, Name: "late", Detail: "Zoom sends events 2 h 3 min late"})
	if len(o.Subscriptions) > 1 {
		down := &o.Subscriptions[1]
		down.State, down.StateSince, down.Trouble, down.Rate = "disconnected", now.Add(-95*time.Second), "Zoom refuses the connection: HTTP 503, next try in 31 s", 0
		down.Late, down.Zoom, down.Way, down.Store = status.Quantiles{}, status.Quantiles{}, status.Quantiles{}, status.Quantiles{}
		w.moments = append(w.moments, page.Moment{At: now.Add(-95 * time.Second), Kind: page.KindDisconnected, Subscription: down.Subscription.Subscription, Replica: down.Leader, Detail: "read: connection reset by peer"})
	}
	gone := &o.Replicas[2]
	gone.Answered, gone.Heard, gone.Phase = false, now.Add(-48*time.Second), ""
	spool := &o.Replicas[1]
	spool.Outbox.Spooled, spool.Outbox.Bytes, spool.Outbox.Age, spool.Outbox.Trouble = 18_211, 31<<20, 84, "no stream takes the subject: nats: no responders"
}

var errAway = errors.New("nats: no servers available for connection")
