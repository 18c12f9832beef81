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
	"github.com/zoomstream/zoomstream/message"
)

const (
	// maxWaiting is how many alarms may wait to be told.
	maxWaiting = 100
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
	Failed  = "failed"  // an attempt
	Dropped = "dropped" // a message that is given up
)

// WebhookOptions say where alarms are posted.
type WebhookOptions struct {
	// URL returns that of the endpoint; "": there is none. It is safe for concurrent use.
	URL       func() string
	UserAgent string
	Count     func(outcome string) // is told of each attempt, and of each message that is dropped; may be nil
	Refused   func()               // is told that the endpoint refuses the URL; may be nil
	Transport http.RoundTripper    // nil: one of its own
	Log       zerolog.Logger
}

// Webhook posts alarms to an HTTP endpoint, one after the other. It posts the latest state of
// an alarm, and nothing that the endpoint knows already.
//
//	          raised or cleared           an attempt
//	as known -------------------> waiting -----------> trying
//	   ^                          |  ^                 |  |
//	   |   it is as known again   |  |  not 2xx: pause |  | 2xx
//	   +--------------------------+  +-----------------+  |
//	   +--------------------------------------------------+
//
// An endpoint that fails is tried until it takes the message: that an alarm is raised is worth
// to be known after hours, too. A message that is wrong is given up.
//
// An alarm that comes back within five minutes of the message that it was raised is told of when
// these are over, if it is raised then. So one that comes and goes is two messages in five minutes
// at most.
type Webhook struct {
	o      WebhookOptions
	seldom zerolog.Logger // for what would be logged at each attempt
	wake   chan struct{}  // to Run

	mu      sync.Mutex
	waiting []*notice // one of each alarm at most, oldest first
	known   map[key]knowledge
}

// notice is a message to the endpoint.
type notice struct {
	message.Alarm
	due      time.Time // not before; zero: at once
	attempts int
	trying   bool
}

func (n *notice) key() key { return key{n.Name, n.Subscription} }

// knowledge is what the endpoint knows of an alarm. The zero value: that it is not raised.
type knowledge struct {
	raised bool
	told   time.Time // when it was last told that it is raised
	unsure bool      // an attempt is under way, or has failed and may have reached it all the same
}

// NewWebhook returns a Webhook. It posts nothing before Run.
func NewWebhook(o WebhookOptions) *Webhook {
	if o.Count == nil {
		o.Count = func(string) {}
	}
	if o.Refused == nil {
		o.Refused = func() {}
	}
	return &Webhook{
		o: o, seldom: o.Log.Sample(&zerolog.BurstSampler{Burst: 1, Period: refusedEvery}), wake: make(chan struct{}, 1),
		known: make(map[key]knowledge),
	}
}

// tell has the endpoint told of an alarm that was raised or cleared. It does not wait.
func (w *Webhook) tell(a message.Alarm) {
	if w == nil || w.o.URL() == "" {
		return
	}
	if tooMany := w.enqueue(a); tooMany != nil {
		w.drop(tooMany.Alarm, "too many alarms wait to be told")
	}
}

// enqueue has an alarm wait, if the endpoint does not know it as it is. It returns what has
// to make room for it; nil: nothing.
func (w *Webhook) enqueue(a message.Alarm) (tooMany *notice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := key{a.Name, a.Subscription}
	n, known := w.find(k), w.known[k]
	if known.raised == a.Raised && !known.unsure {
		w.remove(n) // it is as it was before what waits
		return nil
	}
	if n == nil {
		if len(w.waiting) >= maxWaiting {
			tooMany = w.waiting[slices.IndexFunc(w.waiting, func(n *notice) bool { return !n.trying })]
			w.remove(tooMany)
		}
		n = new(notice)
		w.waiting = append(w.waiting, n)
	}
	n.Alarm, n.attempts, n.due = a, 0, time.Time{}
	if a.Raised && !known.told.IsZero() {
		n.due = known.told.Add(betweenRaises)
	}
	w.signal()
	return tooMany
}

// adopt notes that somebody else has told the endpoint that an alarm is raised.
func (w *Webhook) adopt(k key) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known[k] = knowledge{raised: true}
	w.remove(w.find(k))
}

// leave notes that somebody else goes on with an alarm that is raised.
func (w *Webhook) leave(k key) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.known, k)
	if n := w.find(k); n != nil {
		n.due = time.Time{} // later, it would come behind the other's message that it is over
		w.signal()
	}
}

// find returns what waits of an alarm, or nil. The caller holds w.mu.
func (w *Webhook) find(k key) *notice {
	for _, n := range w.waiting {
		if n.key() == k {
			return n
		}
	}
	return nil
}

// remove takes out a notice, if it is there. The caller holds w.mu.
func (w *Webhook) remove(n *notice) {
	w.waiting = slices.DeleteFunc(w.waiting, func(other *notice) bool { return other == n })
}

// signal wakes Run.
func (w *Webhook) signal() {
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
		n, a, wait := w.next(last)
		switch {
		case n == nil && last:
			return
		case n == nil:
			pause(ctx, w.wake, wait)
			continue
		}
		r := w.post(attempts, client, a)
		if dropped, why := w.settle(n, a, r, ctx.Err() != nil); why != "" {
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
func (w *Webhook) next(last bool) (n *notice, a message.Alarm, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wait = time.Hour // until it is woken
	for _, n := range w.waiting {
		if left := time.Until(n.due); left > 0 && !last {
			wait = min(wait, left)
			continue
		}
		n.trying = true
		n.attempts++
		known := w.known[n.key()]
		known.unsure = true
		w.known[n.key()] = known
		return n, n.Alarm, 0
	}
	return nil, message.Alarm{}, wait
}

// post makes one attempt.
func (w *Webhook) post(ctx context.Context, client *http.Client, a message.Alarm) *webhook.Refusal {
	to, err := url.Parse(w.o.URL())
	if err != nil || to.Host == "" { // the settings are checked
		return &webhook.Refusal{Code: "no_url", Text: "there is no webhook in the settings any more", OfMessage: true}
	}
	r := webhook.Post(ctx, client, to, header(a, w.o.UserAgent), body(a))
	if r == nil {
		w.event(w.o.Log.Info(), a).Str("code", "webhook.sent").Str("to", webhook.Host(to)).Msg("the webhook is told of an alarm")
		return nil
	}
	w.event(w.seldom.Warn(), a).Str("code", "webhook.refused").Str("to", webhook.Host(to)).Str("reason", r.Code).Str("detail", r.Text).Msg("the webhook did not take an alarm; it is tried again")
	if r.OfURL {
		w.o.Refused()
	}
	return r
}

// settle notes what became of an attempt with an alarm, which may have changed meanwhile. It
// returns what is given up, and why; "": nothing.
func (w *Webhook) settle(n *notice, a message.Alarm, r *webhook.Refusal, last bool) (dropped message.Alarm, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n.trying = false
	if r != nil {
		w.o.Count(Failed)
		switch {
		case last:
			why = "this process ends"
		case r.OfMessage && n.attempts >= attemptsOfMessage:
			why = r.Text
		default:
			return message.Alarm{}, ""
		}
		w.remove(n)
		return n.Alarm, why
	}
	w.o.Count(Sent)
	if known, ours := w.known[n.key()]; ours { // else somebody else goes on with it
		known.raised, known.unsure = a.Raised, false
		if a.Raised {
			known.told = time.Now()
		}
		w.known[n.key()] = known
	}
	if n.Raised == a.Raised {
		w.remove(n)
	}
	return message.Alarm{}, ""
}

// drop tells that a message is given up.
func (w *Webhook) drop(a message.Alarm, why string) {
	w.o.Count(Dropped)
	w.event(w.o.Log.Error(), a).Str("code", "webhook.dropped").Str("reason", why).Msg("the webhook is not told of an alarm")
}

func (w *Webhook) event(e *zerolog.Event, a message.Alarm) *zerolog.Event {
	if a.Subscription != "" {
		e.Str("subscription", a.Subscription)
	}
	return e.Str("alarm", a.Name).Bool("raised", a.Raised)
}
