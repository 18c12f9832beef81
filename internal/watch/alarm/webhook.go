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
	// betweenRaises is how long after the endpoint was told that an alarm is raised it may be told so again.
	betweenRaises = 5 * time.Minute
	// attemptTimeout bounds an attempt.
	attemptTimeout = 10 * time.Second
	// lastTimeout bounds what is still told when the process ends.
	lastTimeout = 2 * time.Second
	// attemptsOfMessage are made at most if the endpoint finds the message itself wrong.
	attemptsOfMessage = 3
	// firstPause and longestPause are those between attempts. An endpoint that asks for more gets it.
	firstPause, longestPause = time.Second, time.Minute
	// refusedEvery is how often it is logged, at most, that the endpoint takes nothing.
	refusedEvery = time.Minute
)

// The outcomes of telling the endpoint.
const (
	Sent    = "sent"
	Refused = "refused" // an attempt, or it failed
	Dropped = "dropped" // a message that is given up
)

// Why messages are dropped, but for what the endpoint says.
const (
	termOver   = "this replica leads the subscription no more; whoever leads next tells what is still raised"
	processEnd = "this process ends"
)

// WebhookOptions say where alarms are posted.
type WebhookOptions struct {
	// URL returns that of the endpoint; "": there is none. It is safe for concurrent use.
	URL        func() string
	UserAgent  string
	Count      func(outcome string) // is told of each attempt, and of each message that is dropped; may be nil
	URLRefused func()               // is told that the endpoint refuses the URL; may be nil
	Transport  http.RoundTripper    // nil: one of its own
	Log        zerolog.Logger
}

// Webhook posts alarms to an HTTP endpoint, one after the other, by the rules of the package. A
// message is tried until the endpoint takes it, since that an alarm is raised is worth to be known
// after hours, too. One that the endpoint finds wrong is given up. One that it refuses goes behind
// the others that wait.
type Webhook struct {
	o      WebhookOptions
	seldom zerolog.Logger // for what would be logged at each attempt
	wake   chan struct{}  // to Run

	mu     sync.Mutex
	url    string   // of the endpoint that the topics are about
	topics []*topic // one of each alarm at most; those that wait are in the order of their turns
	trying *topic   // an attempt with it is under way
}

// topic is the latest of an alarm, and what the endpoint knows of the alarm.
type topic struct {
	latest   notice
	waiting  bool      // it is to be told
	attempts int       // to tell it
	alerted  bool      // the endpoint may believe that the alarm is raised
	told     time.Time // when it was last told that the alarm is raised; zero: not yet
}

// due is when it may be told; zero: at once.
func (t *topic) due() time.Time {
	if !t.latest.Raised || t.told.IsZero() {
		return time.Time{}
	}
	return t.told.Add(betweenRaises)
}

// NewWebhook returns a Webhook. It posts nothing before Run.
func NewWebhook(o WebhookOptions) *Webhook {
	if o.Count == nil {
		o.Count = func(string) {}
	}
	if o.URLRefused == nil {
		o.URLRefused = func() {}
	}
	return &Webhook{o: o, seldom: o.Log.Sample(&zerolog.BurstSampler{Burst: 1, Period: refusedEvery}), wake: make(chan struct{}, 1)}
}

// tell has the endpoint told of an alarm, if it has to know. It does not wait.
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

// leave forgets the alarms of a term that is over. It returns what waits of them.
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

// toEnd has a topic wait behind all others. The caller holds w.mu.
func (w *Webhook) toEnd(t *topic) {
	w.topics = append(slices.DeleteFunc(w.topics, func(other *topic) bool { return other == t }), t)
}

// Wake has Run look at once whether there is something to tell, as after another URL.
func (w *Webhook) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run posts until the context ends, and then what waits, each once, within lastTimeout. Call
// it once.
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

// pause waits, or until the context ends or wake is signalled.
func pause(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// next begins an attempt with what is due, at the end of the process with all that waits. If
// there is nothing, it tells how long to wait.
func (w *Webhook) next(last bool) (t *topic, n notice, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookAtURL()
	wait = time.Hour // until it is woken
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
		t.alerted = t.alerted || t.latest.Raised // also if its answer is lost
		w.trying = t
		return t, t.latest, 0
	}
	return nil, notice{}, wait
}

// lookAtURL has the endpoint of another URL told of all that is raised. The caller holds w.mu.
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
	to, err := url.Parse(w.url) // only this goroutine writes it
	if err != nil {             // the settings are checked
		return &webhook.Refusal{Code: "no_url", Text: "the URL in the settings is none", OfMessage: true}
	}
	r := webhook.Post(ctx, client, to, n.header(w.o.UserAgent), n.body())
	if r == nil {
		w.event(w.o.Log.Info(), n).Str("code", "webhook.sent").Str("to", webhook.Host(to)).Msg("the webhook is told of an alarm")
		return nil
	}
	w.event(w.seldom.Warn(), n).Str("code", "webhook.refused").Str("to", webhook.Host(to)).Str("reason", r.Code).Str("detail", r.Text).Msg("the webhook did not take an alarm")
	if r.OfURL {
		w.o.URLRefused()
	}
	return r
}

// settle notes what became of an attempt with an alarm, which may have changed meanwhile, or
// whose term may be over. It returns what is given up, and why; "": nothing.
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

// drop tells that a message is given up.
func (w *Webhook) drop(n notice, why string) {
	w.o.Count(Dropped)
	w.event(w.o.Log.Error(), n).Str("code", "webhook.dropped").Str("reason", why).Msg("the webhook is not told of an alarm")
}

func (w *Webhook) event(e *zerolog.Event, n notice) *zerolog.Event {
	if n.Subscription != "" {
		e.Str("subscription", n.Subscription)
	}
	return e.Str("alarm", n.Name).Bool("raised", n.Raised)
}
