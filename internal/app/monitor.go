package app

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/lease"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/watch/alarm"
	"github.com/zoomstream/zoomstream/internal/watch/httpserver"
	"github.com/zoomstream/zoomstream/internal/watch/metrics"
	"github.com/zoomstream/zoomstream/internal/watch/page"
	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/internal/zoom"
	"github.com/zoomstream/zoomstream/message"
)

// monitor is the outside view of this process. It starts before NATS is connected and ends after
// everything else.
type monitor struct {
	o       Options
	started time.Time
	host    string // for people

	metrics  *metrics.Metrics
	alarms   *alarm.Board
	webhook  *alarm.Webhook
	health   httpserver.Health
	leaders  httpserver.Leaders
	repeated repetitions
	page     *page.Page
	server   *httpserver.Server // nil: none is configured

	secrets   atomic.Pointer[secrets]
	rereadLog zerolog.Logger // sampled

	nc       atomic.Pointer[nats.Conn] // nil: never connected yet
	login    atomic.Pointer[natsconn.Options]
	denied   atomic.Pointer[denial]  // the latest
	replica  atomic.Pointer[replica] // nil: not campaigning yet
	draining atomic.Bool
}

// denial is a subject for which NATS denies this user the permission.
type denial struct {
	at     time.Time
	detail string
}

// newMonitor returns a monitor that listens on the HTTP address, if one is configured.
func newMonitor(o Options) (*monitor, error) {
	all := subscriptions(o.Config)
	m := &monitor{
		o: o, started: time.Now(), metrics: metrics.New(o.Version, o.Commit, all),
	}
	m.rereadLog = o.Log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	m.host, _ = os.Hostname()
	m.secrets.Store(secretsOf(o.Config))
	m.webhook = alarm.NewWebhook(alarm.WebhookOptions{
		URL: func() string { return m.secrets.Load().alarmWebhook }, UserAgent: "zoomstream/" + o.Version,
		Count: m.metrics.Notified, URLRefused: m.rereadSecrets, Log: o.Log,
	})
	m.alarms = alarm.NewBoard(o.Config.Replica, m.metrics.Raised, m.webhook, o.Log)
	m.metrics.Show(m.statusWithoutCounts, message.ReplicaAlarms())
	if o.Config.HTTPAddr == "" {
		return m, nil
	}
	feed := &httpserver.Feed{JS: m.jetStream, Connect: m.connectForSearch, Stream: o.Config.Stream, Prefix: o.Config.Prefix, Leaders: &m.leaders}
	m.page = page.New(page.Source{Overview: m.overview, Events: feed.Events, Timeline: feed.Timeline, Message: feed.Message, Search: feed.Search}, o.Log)
	var err error
	m.server, err = httpserver.Listen(httpserver.Options{
		Address: o.Config.HTTPAddr, Elsewhere: o.Config.HTTPElsewhere, Registry: m.metrics.Registry(), Status: m.status, Ready: m.ready,
		Health: &m.health, NoEvents: noEvents(o), Page: m.page, Log: o.Log,
	})
	return m, err
}

// noEvents returns why the page does not show whole events to every user of this machine; nil if it
// does. By default it does only where every user of the machine may read them from NATS as well.
func noEvents(o Options) error {
	switch c := o.Config; {
	case c.PageEvents == "off":
		return errors.New("ZOOMSTREAM_PAGE_EVENTS is off")
	case c.PageEvents == "auto" && (!startsNATS(o) || c.NATSAnonymous != "read"):
		return errors.New("every user of this machine would see whole events, which hold personal data, although NATS requires a login; ZOOMSTREAM_PAGE_EVENTS=on shows them anyway")
	}
	return nil
}

// run serves until the context ends.
func (m *monitor) run(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var owned sync.WaitGroup
	defer owned.Wait()
	owned.Go(func() { m.sample(ctx) })
	owned.Go(func() { m.reload(ctx) })
	owned.Go(func() { m.notify(ctx) })
	owned.Go(func() { m.webhook.Run(ctx) })
	if m.server == nil {
		<-ctx.Done()
		return nil
	}
	owned.Go(func() { m.page.Run(ctx) })
	if err := m.server.Run(ctx); err != nil { // forwarding events matters more than showing them
		m.o.Log.Error().Str("code", "http.failed").Err(err).Msg("metrics, health and status page are no longer served")
	}
	<-ctx.Done()
	return nil
}

// sample takes the readings from which rates and quantiles are computed, and beats for the health
// check.
func (m *monitor) sample(ctx context.Context) {
	tick := time.NewTicker(metrics.SamplePeriod)
	defer tick.Stop()
	defer m.health.Ended("status")
	defer m.health.Ended(storing)
	var progress progress
	m.health.Beat(storing)
	for {
		m.health.Beat("status")
		m.checkProgress(&progress)
		for _, id := range subscriptions(m.o.Config) {
			m.metrics.Subscription(id).Sample(m.clock(time.Now()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ready returns nil if this replica leads, or stands by and could lead; otherwise the reason why
// not.
func (m *monitor) ready() error {
	switch r := m.replica.Load(); {
	case m.draining.Load():
		return errors.New(string(status.Draining))
	case r == nil:
		return errors.New(string(status.Starting))
	case !r.nc.IsConnected():
		return httpserver.ErrNoNATS
	case r.bucketTrouble() != "":
		return errors.New(r.bucketTrouble())
	case r.tokens.Stats().Credentials == zoom.CredentialsDenied:
		return errors.New("credentials refused by Zoom")
	}
	return nil
}

// drain marks this process as stopping, and tells the supervisor once.
func (m *monitor) drain() {
	if !m.draining.Swap(true) && m.o.Notify != nil {
		m.o.Notify("STOPPING=1\nSTATUS=publishing what is left")
	}
}

func (m *monitor) clock(t time.Time) time.Time {
	if m.o.Clock == nil {
		return t
	}
	return m.o.Clock(t)
}

// noteDenied remembers the latest subject that NATS denied.
func (m *monitor) noteDenied(detail string) { m.denied.Store(&denial{time.Now(), detail}) }

// noteStreamMissing raises the alarm "stream" with the reason why this replica cannot start; with
// "" it clears the alarm.
func (m *monitor) noteStreamMissing(why string) {
	at := m.clock(time.Now())
	if why == "" {
		m.alarms.Clear(message.AlarmStream, "", 0, m.alarms.Lasted(message.AlarmStream, at), at)
		return
	}
	m.alarms.Raise(message.AlarmStream, "", 0, why, at)
}

// noteHolder records for the page who holds a lease and how that replica got it.
func (m *monitor) noteHolder(subscription string, now lease.Holding) {
	if !now.Held {
		return
	}
	how := ""
	switch now.Taken {
	case lease.FromNobody:
		how = page.Handover
	case lease.FromMore:
		how = page.Rebalance
	case lease.FromDead, lease.FromStale:
		how = page.Crash
	}
	m.leaders.Leads(subscription, now.Replica, how, now.Since)
}

func (m *monitor) countTransition(subscription, reason string) {
	m.metrics.Subscription(subscription).Transition(reason)
}

// status returns what this replica knows of itself and the others.
func (m *monitor) status(history bool) *status.Replica {
	s := m.statusWithoutCounts()
	now := m.clock(time.Now())
	for i := range s.Subscriptions {
		sub := &s.Subscriptions[i]
		m.metrics.Subscription(sub.Subscription).Fill(sub, now, history)
	}
	return s
}

// statusWithoutCounts is status without what comes from the metrics.
func (m *monitor) statusWithoutCounts() *status.Replica {
	now := time.Now()
	s := &status.Replica{
		Replica: m.o.Config.Replica, Host: m.host, PID: os.Getpid(), Version: m.o.Version, Started: m.clock(m.started).UTC(), Now: m.clock(now).UTC(),
		Phase: status.Starting, Subscriptions: []status.Subscription{}, Others: []status.Other{}, Alarms: m.alarms.Raised(),
	}
	s.Outbox.Stream, s.Outbox.Max = m.o.Config.Stream, m.o.Config.SpoolMax
	if m.server != nil {
		s.HTTP = m.server.URL()
	}
	if nc := m.nc.Load(); nc != nil && nc.IsConnected() {
		s.Outbox.NATS, s.Outbox.Server = true, nc.ConnectedServerName()
	}
	r := m.replica.Load()
	if r == nil {
		return s
	}
	s.Phase, s.Nonce = status.Ready, r.candidate.Nonce()
	if m.draining.Load() {
		s.Phase = status.Draining
	}
	for _, p := range r.candidate.Peers() {
		s.Others = append(s.Others, status.Other{Replica: p.Replica, Nonce: p.Nonce, Heard: m.clock(p.Heard).UTC(), Leaving: p.Leaving})
	}
	for _, p := range r.candidate.Gone() {
		s.Gone = append(s.Gone, status.Other{Replica: p.Replica, Nonce: p.Nonce, Heard: m.clock(p.Heard).UTC()})
	}
	for _, id := range subscriptions(m.o.Config) {
		s.Subscriptions = append(s.Subscriptions, r.subscriptionStatus(id))
	}
	r.fillOutbox(&s.Outbox, now)
	r.fillToken(&s.Token)
	s.Consumers = r.consumerWatch.report()
	return s
}
