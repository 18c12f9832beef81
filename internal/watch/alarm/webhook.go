package alarm

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/webhook"
)

const (
	// betweenRaises is the minimum interval between two reports to the endpoint that the same alarm
	// is raised.
	betweenRaises = 5 * time.Minute
	// attemptTimeout bounds an attempt.
	attemptTimeout = 10 * time.Second
	// lastTimeout bounds the sending of what still waits when the process ends.
	lastTimeout = 2 * time.Second
	// attemptsOfMessage bounds the attempts when the endpoint rejects the message itself.
	attemptsOfMessage = 3
	// firstPause and longestPause bound the pauses between attempts. An endpoint that asks for a
	// longer one gets it.
	firstPause, longestPause = time.Second, time.Minute
	// refusedEvery limits how often refusals by the endpoint are logged.
	refusedEvery = time.Minute
)

// Outcomes of sending to the endpoint.
const (
	Sent    = "sent"
	Refused = "refused" // an attempt that was refused or failed
	Dropped = "dropped" // a message that was given up
)

// Reasons for dropping a message, apart from the endpoint's own.
const (
	termOver   = "this replica no longer leads the subscription; the next leader reports what is still raised"
	processEnd = "this process is ending"
)

// WebhookOptions says where alarms are posted.
type WebhookOptions struct {
	// URL returns the endpoint's URL; "": there is none. It must be safe for concurrent use.
	URL        func() string
	UserAgent  string
	Count      func(outcome string) // called for each attempt and each dropped message; may be nil
	URLRefused func()               // called when the endpoint refuses the URL; may be nil
	Transport  http.RoundTripper    // nil: a transport of its own
	Log        zerolog.Logger
}

// Webhook posts alarms to an HTTP endpoint, one at a time, by the rules in the package comment. It
// retries a message until the endpoint takes it, since a raised alarm is worth knowing even hours
// later. A message that the endpoint rejects as wrong is given up. A message that fails goes behind
// the others that wait.
type Webhook struct {
	o      WebhookOptions
	seldom zerolog.Logger // for lines that would otherwise repeat at each attempt
	wake   chan struct{}  // wakes Run

	mu     sync.Mutex
	url    string   // URL of the endpoint that the topics refer to
	topics []*topic // at most one per alarm; waiting ones in the order of their turns
	trying *topic   // being attempted now
}

// topic is the latest news of an alarm, and what the endpoint knows of it.
type topic struct {
	latest   notice
	waiting  bool      // it has to be sent
	attempts int       // to send the latest notice
	alerted  bool      // the endpoint may believe that the alarm is raised
	told     time.Time // when the endpoint last accepted that it is raised; zero: never
}

// due returns when it may be sent; zero: at once.
func (t *topic) due() time.Time {
	if !t.latest.Raised || t.told.IsZero() {
		return time.Time{}
	}
	return t.told.Add(betweenRaises)
}

// NewWebhook returns a Webhook. Nothing is posted before Run.
func NewWebhook(o WebhookOptions) *Webhook {
	if o.Count == nil {
		o.Count = func(string) {}
	}
	if o.URLRefused == nil {
		o.URLRefused = func() {}
	}
	return &Webhook{o: o, seldom: o.Log.Sample(&zerolog.BurstSampler{Burst: 1, Period: refusedEvery}), wake: make(chan struct{}, 1)}
}

// tell queues news of an alarm, unless the endpoint need not know it. It does not block.
func (w *Webhook) tell(n notice) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	at := slices.IndexFunc(w.topics, func(t *topic) bool { return t.latest.Name == n.Name && t.latest.Subscription == n.Subscription })
	if at < 0 {
		at = len(w.topics)
		w.topics = append(w.topics, new(topic))
	}
	t := w.topics[at]
	if !t.waiting {
		w.toEnd(t)
	}
	t.latest, t.attempts = n, 0
	t.alerted = t.alerted || n.as == stillRaised
	t.waiting = t.alerted || n.as != over
	w.Wake()
}

// leave forgets the alarms of an ended term and returns those that still waited.
func (w *Webhook) leave(subscription string, epoch uint64) (dropped []notice) {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.topics = slices.DeleteFunc(w.topics, func(t *topic) bool {
		if t.latest.Subscription != subscription || t.latest.Epoch != epoch {
			return false
		}
		if t.waiting && t != w.trying && w.url != "" {
			dropped = append(dropped, t.latest)
		}
		return true
	})
	return dropped
}

// toEnd moves a topic behind all others. The caller holds w.mu.
func (w *Webhook) toEnd(t *topic) {
	w.topics = append(slices.DeleteFunc(w.topics, func(other *topic) bool { return other == t }), t)
}

// Wake makes Run check at once whether there is something to send, for example after the URL has
// changed.
func (w *Webhook) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run posts until ctx ends, and then what still waits, each once, within lastTimeout. It must be
// called only once.
func (w *Webhook) Run(ctx context.Context) {
	transport := w.o.Transport
	if transport == nil {
		transport = webhook.NewTransport()
	}
	client := webhook.NewClient(transport, attemptTimeout)
	defer client.CloseIdleConnections()
	attempts, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastTimeout, stop) })()
	pauses := backoff.NewExponentialBackOff(backoff.WithInitialInterval(firstPause), backoff.WithMultiplier(2),
		backoff.WithMaxInterval(longestPause), backoff.WithMaxElapsedTime(0))
	for {
		last := ctx.Err() != nil
		t, n, wait := w.next(last)
		switch {
		case t == nil && last:
			return
		case t == nil:
			pause(ctx, w.wake, wait)
			continue
		}
		r := w.post(attempts, client, n)
		if dropped, why := w.settle(t, n, r, ctx.Err() != nil); why != "" {
			w.drop(dropped, why)
		}
		if r == nil {
			pauses.Reset()
			continue
		}
		pause(ctx, nil, max(pauses.NextBackOff(), r.RetryAfter))
	}
}

// pause waits for d, or until ctx ends or wake is signalled.
func pause(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// next starts an attempt with a due topic; with last, at the end of the process, with any that
// waits. If there is none, it returns how long to wait.
func (w *Webhook) next(last bool) (t *topic, n notice, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookAtURL()
	wait = time.Hour // until woken
	if w.url == "" {
		return nil, notice{}, wait
	}
	for _, t := range w.topics {
		if !t.waiting {
			continue
		}
		if left := time.Until(t.due()); left > 0 && !last {
			wait = min(wait, left)
			continue
		}
		t.attempts++
		t.alerted = t.alerted || t.latest.Raised // even if its answer gets lost
		w.trying = t
		return t, t.latest, 0
	}
	return nil, notice{}, wait
}

// lookAtURL queues all raised alarms if the endpoint's URL has changed. The caller holds w.mu.
func (w *Webhook) lookAtURL() {
	now := w.o.URL()
	if now == w.url {
		return
	}
	w.url = now
	for _, t := range w.topics {
		if t.latest.Raised {
			t.waiting, t.attempts, t.told = true, 0, time.Time{}
		}
	}
}

// post makes one attempt.
func (w *Webhook) post(ctx context.Context, client *http.Client, n notice) *webhook.Refusal {
	to, err := url.Parse(w.url) // only this goroutine writes w.url
	if err != nil {             // cannot happen: the settings are checked
		return &webhook.Refusal{Code: "no_url", Text: "the configured URL cannot be parsed", OfMessage: true}
	}
	r := webhook.Post(ctx, client, to, n.header(w.o.UserAgent), n.body())
	if r == nil {
		w.event(w.o.Log.Info(), n).Str("code", "webhook.sent").Str("to", webhook.Host(to)).Msg("alarm posted to the webhook")
		return nil
	}
	w.event(w.seldom.Warn(), n).Str("code", "webhook.refused").Str("to", webhook.Host(to)).Str("reason", r.Code).Str("detail", r.Text).Msg("the webhook did not accept an alarm")
	if r.OfURL {
		w.o.URLRefused()
	}
	return r
}

// settle records the result of an attempt. Meanwhile the alarm may have changed, or its term ended.
// It returns the notice that is given up, and why; "": none.
func (w *Webhook) settle(t *topic, n notice, r *webhook.Refusal, last bool) (dropped notice, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trying = nil
	left := !slices.Contains(w.topics, t)
	if r == nil {
		w.o.Count(Sent)
		t.alerted = n.Raised
		if n.Raised {
			t.told = time.Now()
		}
		t.waiting = t.latest != n && (t.alerted || t.latest.as != over)
		if !left || !t.waiting {
			return notice{}, ""
		}
	} else {
		w.o.Count(Refused)
	}
	switch {
	case left:
		why = termOver
	case last:
		why = processEnd
	case r.OfMessage && t.attempts >= attemptsOfMessage:
		why = r.Text
	default:
		w.toEnd(t)
		return notice{}, ""
	}
	t.waiting = false
	return t.latest, why
}

// drop counts and logs a message that is given up.
func (w *Webhook) drop(n notice, why string) {
	w.o.Count(Dropped)
	w.event(w.o.Log.Error(), n).Str("code", "webhook.dropped").Str("reason", why).Msg("an alarm was not posted to the webhook")
}

func (w *Webhook) event(e *zerolog.Event, n notice) *zerolog.Event {
	if n.Subscription != "" {
		e.Str("subscription", n.Subscription)
	}
	return e.Str("alarm", n.Name).Bool("raised", n.Raised)
}
