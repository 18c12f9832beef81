package alarm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
	"github.com/zoomstream/zoomstream/message"
)

// receiver is a webhook's endpoint on fake time, with a Board that posts to it.
type receiver struct {
	*Board
	hook  *Webhook
	t     *testing.T
	began time.Time
	log   syncbuf.Buffer
	stop  func() // stops the Webhook, and waits for its end

	mu       sync.Mutex
	url      string
	status   int           // status that it answers with
	hangs    bool          // it does not answer
	disliked string        // name of an alarm that it answers with 500
	gate     chan struct{} // it answers once this is closed; nil: at once
	got      []posted
	count    map[string]int
	refused  int
}

// posted is a message that the receiver got.
type posted struct {
	after  time.Duration // since the beginning
	id     string
	body   []byte
	alarm  message.Alarm
	Alarm  string `json:"alarm"`
	Raised bool   `json:"raised"`
	Detail string `json:"detail"`
	Text   string `json:"text"`
}

func (p posted) String() string {
	return fmt.Sprintf("%v %s %t %s", p.after.Round(time.Second), p.Alarm, p.Raised, p.Detail)
}

const hidden = "t0p-s3cr3t"

// withReceiver runs a test in a bubble. It fails the test if the log contains the webhook's URL.
func withReceiver(t *testing.T, test func(r *receiver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{t: t, began: time.Now(), url: "http://hooks.example/services/" + hidden, status: http.StatusOK, count: make(map[string]int)}
		server := pipenet.Serve(r)
		defer server.Close()
		w := NewWebhook(WebhookOptions{
			URL: func() string { return locked(r, &r.url) }, UserAgent: "zoomstream/test", Transport: server.Client().Transport, Log: zerolog.New(&r.log),
			Count:      func(outcome string) { r.change(func() { r.count[outcome]++ }) },
			URLRefused: func() { r.change(func() { r.refused++ }) },
		})
		r.hook, r.Board = w, NewBoard("replica-1", nil, w, zerolog.New(&r.log))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.Run(ctx) })
		r.stop = func() { cancel(); running.Wait() }
		defer r.stop()
		test(r)
		r.stop()
		if strings.Contains(r.log.String(), hidden) {
			t.Errorf("the log has the webhook's URL:\n%s", &r.log)
		}
	})
}

func locked[T any](r *receiver, of *T) T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *of
}

func (r *receiver) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// answer sets the status that the receiver answers with; 0: it does not answer.
func (r *receiver) answer(status int) {
	r.change(func() { r.status, r.hangs = status, status == 0 })
}

func (r *receiver) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	p := posted{after: time.Since(r.began), id: in.Header.Get(message.HeaderID)}
	var err error
	if p.body, err = io.ReadAll(in.Body); err == nil {
		err = json.Unmarshal(p.body, &p)
	}
	if err == nil {
		p.alarm, err = message.ParseAlarm(p.body, time.Now())
	}
	if err != nil || in.Method != http.MethodPost || in.Header.Get("Content-Type") != "application/json; charset=utf-8" || in.UserAgent() != "zoomstream/test" {
		r.t.Errorf("%s %v %s: %v", in.Method, in.Header, p.body, err)
	}
	r.change(func() { r.got = append(r.got, p) })
	if locked(r, &r.hangs) {
		<-in.Context().Done()
		return
	}
	if gate := locked(r, &r.gate); gate != nil {
		<-gate
	}
	if p.Alarm == locked(r, &r.disliked) {
		out.WriteHeader(http.StatusInternalServerError)
		return
	}
	out.WriteHeader(locked(r, &r.status))
}

// raise and clear change an alarm of the whole replica.
func (r *receiver) raise(name, detail string) { r.Raise(name, "", 0, detail, time.Now()) }
func (r *receiver) clear(name, detail string) { r.Clear(name, "", 0, detail, time.Now()) }

// told waits, and returns what the receiver got since the last call.
func (r *receiver) told(within time.Duration) (all []string) {
	r.t.Helper()
	time.Sleep(within)
	synctest.Wait()
	for _, p := range locked(r, &r.got) {
		all = append(all, p.String())
	}
	r.change(func() { r.got = nil })
	return all
}

// tells waits, and checks that the receiver got exactly these messages since the last call.
func (r *receiver) tells(within time.Duration, want ...string) {
	r.t.Helper()
	if got := r.told(within); !slices.Equal(got, want) {
		r.t.Errorf("told %q, want %q\n%s", got, want, &r.log)
	}
}

func (r *receiver) counted(sent, refused, dropped int) {
	r.t.Helper()
	r.change(func() {
		if r.count[Sent] != sent || r.count[Refused] != refused || r.count[Dropped] != dropped {
			r.t.Errorf("counted %v, want %d, %d, %d", r.count, sent, refused, dropped)
		}
		if logged := strings.Count(r.log.String(), `"webhook.dropped"`); logged != dropped {
			r.t.Errorf("%d lines of messages that are dropped, want %d:\n%s", logged, dropped, &r.log)
		}
	})
}

// TestWebhook: the webhook gets the stream's messages with a text for people.
func TestWebhook(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		at := time.Now()
		r.Raise(message.AlarmContested, "sub-1", 7, "somebody else connects", at)
		r.Raise(message.AlarmContested, "sub-1", 7, "and goes on", at) // nothing new
		synctest.Wait()
		time.Sleep(time.Minute)
		r.Clear(message.AlarmContested, "sub-1", 7, "it has lasted", at.Add(time.Minute))
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(r.got) != 2 {
			t.Fatalf("%v", r.got)
		}
		for i, want := range []message.Alarm{
			{Name: "contested", Raised: true, Subscription: "sub-1", Replica: "replica-1", Epoch: 7, At: at.UTC(), Detail: "somebody else connects"},
			{Name: "contested", Raised: false, Subscription: "sub-1", Replica: "replica-1", Epoch: 7, At: at.Add(time.Minute).UTC(), Detail: "it has lasted"},
		} {
			stream := want.Msg("zoom")
			if got := r.got[i]; !got.alarm.At.Equal(want.At) || got.id != stream.Header.Get(message.HeaderID) || !strings.HasPrefix(string(got.body), strings.TrimSuffix(string(stream.Data), "}")+`,"text":"`) {
				t.Errorf("the webhook is told\n%s\nthe stream\n%s", got.body, stream.Data)
			}
		}
		for i, want := range []string{
			"zoomstream: alarm contested of subscription sub-1 is raised by replica replica-1: somebody else connects; what to do: https://github.com/zoomstream/zoomstream/blob/main/docs/runbook.md#contested",
			"zoomstream: alarm contested of subscription sub-1 is over, according to replica replica-1: it has lasted",
		} {
			if got := r.got[i].Text; got != want {
				t.Errorf("people are told %q", got)
			}
		}
		r.counted(2, 0, 0)
	})
}

// TestHostileText: an alarm's detail may contain somebody else's words. Their markup, mentions and
// links are made harmless.
func TestHostileText(t *testing.T) {
	for hostile, harmless := range map[string]string{
		"<!channel> @all":                "‹!channel› ＠all",
		"<https://evil.example|click>":   "‹https：//evil.example|click›",
		"https://evil.example":           "https：//evil.example",
		"[click](https://evil.example)":  "［click］(https：//evil.example)",
		"![x](HTTPS://evil.example/x)":   "!［x］(HTTPS：//evil.example/x)",
		"Www.evil.example":               "Www．evil.example",
		"&lt;\n\x1b[31m":                 "＆lt;  ［31m",
		"dial tcp [::1]:4222: no server": "dial tcp ［::1］:4222: no server",
	} {
		n := notice{over, message.Alarm{Name: "token", Replica: "r", Detail: hostile}}
		if got, want := n.text(), "zoomstream: alarm token is over, according to replica r: "+harmless; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	long := notice{over, message.Alarm{Name: "token", Replica: "r", Detail: strings.Repeat("é", 1000)}}
	if n := len(long.text()); n > 1000 {
		t.Errorf("%d bytes", n)
	}
}

// TestWebhookAway: an endpoint that refused everything for hours gets the latest state of each
// alarm, once.
func TestWebhookAway(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.answer(http.StatusServiceUnavailable)
		r.raise(message.AlarmSpooling, "first")
		time.Sleep(time.Second)
		r.raise(message.AlarmToken, "comes")
		r.clear(message.AlarmToken, "and goes") // the endpoint never heard of it
		r.clear(message.AlarmSpooling, "second")
		time.Sleep(3 * time.Hour)
		r.raise(message.AlarmSpooling, "third")
		r.raise(message.AlarmStream, "later")
		attempts := len(r.told(time.Hour))
		if attempts < 200 || attempts > 300 {
			t.Errorf("%d attempts in four hours", attempts)
		}
		if lines := strings.Count(r.log.String(), `"webhook.refused"`); lines < 100 || lines > 4*60+1 {
			t.Errorf("%d lines in four hours", lines)
		}
		r.answer(http.StatusOK)
		got := r.told(2 * time.Minute)
		if all := strings.Join(got, "\n") + "\n"; len(got) != 2 || !strings.Contains(all, " spooling true third\n") || !strings.Contains(all, " stream true later\n") {
			t.Errorf("told %q", got)
		}
		r.clear(message.AlarmSpooling, "over")
		r.tells(time.Second, fmt.Sprint(time.Since(r.began).Round(time.Second), " spooling false over"))
		r.answer(http.StatusServiceUnavailable)
		r.clear(message.AlarmStream, "over")
		if n := len(r.told(5 * time.Second)); n < 3 { // the pauses are short again
			t.Errorf("%d attempts in five seconds", n)
		}
		r.change(func() {
			if r.count[Sent] != 3 || r.count[Refused] < attempts {
				t.Errorf("counted %v after %d attempts", r.count, attempts)
			}
		})
	})
}

// TestWebhookFlapping: if an alarm comes and goes, the endpoint is told that it is raised at most
// every five minutes, and at the end gets its state.
func TestWebhookFlapping(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.raise(message.AlarmSpooling, "1")
		r.tells(10*time.Second, "0s spooling true 1")
		r.clear(message.AlarmSpooling, "2")
		r.tells(10*time.Second, "10s spooling false 2")
		for range 27 { // until 4m50s
			r.raise(message.AlarmSpooling, "3")
			time.Sleep(5 * time.Second)
			r.clear(message.AlarmSpooling, "4")
			time.Sleep(5 * time.Second)
		}
		r.tells(0)
		r.raise(message.AlarmSpooling, "5")
		r.raise(message.AlarmToken, "another one")
		r.tells(time.Minute, "4m50s token true another one", "5m0s spooling true 5")
		r.tells(time.Hour)
		r.clear(message.AlarmSpooling, "6")
		r.tells(time.Second, "1h5m50s spooling false 6")
		r.raise(message.AlarmSpooling, "7") // long after the last message
		r.tells(time.Second, "1h5m51s spooling true 7")
		r.clear(message.AlarmSpooling, "8")
		r.tells(time.Hour, "1h5m52s spooling false 8")
		for range 60 * 6 { // one hour
			r.raise(message.AlarmSpooling, "on")
			time.Sleep(5 * time.Second)
			r.clear(message.AlarmSpooling, "off")
			time.Sleep(5 * time.Second)
		}
		messages := len(r.told(time.Hour))
		if messages < 12 || messages > 2*13 {
			t.Errorf("%d messages in an hour of flapping", messages)
		}
	})
}

// TestWebhookLostAnswer: an endpoint that did not answer may have got the message. It is told of
// the end.
func TestWebhookLostAnswer(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.answer(0)
		r.raise(message.AlarmToken, "1")
		time.Sleep(time.Second)
		r.clear(message.AlarmToken, "2") // while the first attempt is under way
		r.tells(7*time.Second, "0s token true 1")
		r.answer(http.StatusOK)
		got := r.told(time.Minute)
		if len(got) != 1 || !strings.HasSuffix(got[0], "token false 2") {
			t.Errorf("told %q", got)
		}
		r.counted(1, 1, 0)
	})
}

// TestWebhookChangesMeanwhile: what changes during a successful attempt is posted after it.
func TestWebhookChangesMeanwhile(t *testing.T) {
	for again, want := range map[bool]string{false: "1s token false 2", true: "5m1s token true 3"} {
		withReceiver(t, func(r *receiver) {
			gate := make(chan struct{})
			r.change(func() { r.gate = gate })
			r.raise(message.AlarmToken, "1")
			r.tells(time.Second, "0s token true 1")
			r.clear(message.AlarmToken, "2")
			if again {
				r.raise(message.AlarmToken, "3")
			}
			close(gate)
			r.tells(time.Hour, want)
		})
	}
}

// TestWebhookMany: of many alarms at a time none is lost, and each is posted once.
func TestWebhookMany(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.answer(http.StatusServiceUnavailable)
		for n := range 150 {
			r.Raise(message.AlarmContested, fmt.Sprintf("sub-%d", n), 1, fmt.Sprint(n), time.Now())
		}
		r.told(time.Hour)
		r.answer(http.StatusOK)
		if got := r.told(2 * time.Minute); len(got) != 150 {
			t.Errorf("%d are told: %q", len(got), got)
		}
	})
}

// TestWebhookEnds: at a stop, what waits gets one last attempt, within two seconds in all.
func TestWebhookEnds(t *testing.T) {
	for name, c := range map[string]struct {
		status                 int
		took                   time.Duration
		sent, refused, dropped int
	}{
		"nothing is wrong": {status: http.StatusOK, sent: 4},
		"it fails":         {status: http.StatusInternalServerError, sent: 2, refused: 3, dropped: 2},
		"it hangs":         {status: 0, took: 2 * time.Second, sent: 2, refused: 2, dropped: 2},
	} {
		t.Run(name, func(t *testing.T) {
			withReceiver(t, func(r *receiver) {
				r.raise(message.AlarmToken, "1")
				time.Sleep(time.Second)
				r.clear(message.AlarmToken, "2")
				time.Sleep(time.Second)
				r.raise(message.AlarmToken, "3") // due only after five minutes
				time.Sleep(time.Second)
				r.answer(c.status)
				r.raise(message.AlarmStream, "4")
				synctest.Wait()
				began := time.Now()
				r.stop()
				if took := time.Since(began); took != c.took {
					t.Errorf("it takes %v", took)
				}
				r.counted(c.sent, c.refused, c.dropped)
			})
		})
	}
}

// TestWebhookPausesAtTheEnd: the last attempt does not wait for the end of a pause.
func TestWebhookPausesAtTheEnd(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.answer(http.StatusInternalServerError)
		r.raise(message.AlarmToken, "1")
		time.Sleep(10 * time.Minute)
		r.answer(http.StatusOK)
		r.told(0)
		began := time.Now()
		r.stop()
		if got := r.told(0); len(got) != 1 || time.Since(began) > 0 {
			t.Errorf("told %q after %v", got, time.Since(began))
		}
	})
}

// TestWebhookWrongMessage: a message that the endpoint rejects for good is dropped, and does not
// delay the others.
func TestWebhookWrongMessage(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.answer(http.StatusBadRequest)
		r.raise(message.AlarmToken, "1")
		if got := r.told(time.Hour); len(got) != 3 {
			t.Errorf("told %q", got)
		}
		r.counted(0, 3, 1)
		r.answer(http.StatusOK)
		r.raise(message.AlarmStream, "2")
		r.clear(message.AlarmToken, "3") // the endpoint may know of it all the same
		r.tells(time.Minute, "1h0m0s stream true 2", "1h0m0s token false 3")
	})
}

// TestWebhookHandover: a replica that takes a subscription over posts what is still raised, once.
// What the previous term posted no longer counts.
func TestWebhookHandover(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.Adopt(message.AlarmLate, "sub-1", 3, "raised by the previous leader", time.Now())
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := locked(r, &r.got); len(got) != 1 || !strings.HasPrefix(got[0].Text, "zoomstream: alarm late of subscription sub-1 is still raised, according to replica replica-1: raised by the previous leader; what to do: ") {
			t.Fatalf("people are told %+v", got)
		}
		r.tells(0, "0s late true raised by the previous leader")
		r.Clear(message.AlarmLate, "sub-1", 3, "on time", time.Now())
		r.tells(time.Minute, "1m0s late false on time")
		r.Leave("sub-1", 3)
		r.Raise(message.AlarmLate, "sub-1", 5, "2 h", time.Now())
		r.tells(time.Minute, "2m0s late true 2 h")
		r.Leave("sub-1", 5)
		r.tells(time.Minute) // it is still raised
		r.Raise(message.AlarmLate, "sub-1", 7, "3 h", time.Now())
		r.tells(time.Minute, "4m0s late true 3 h") // somebody cleared it in between
		r.Raise(message.AlarmLate, "sub-1", 9, "4 h", time.Now())
		r.Leave("sub-1", 7) // it belongs to a later term now
		r.Clear(message.AlarmLate, "sub-1", 9, "on time", time.Now())
		r.tells(time.Hour, "5m0s late false on time")
		r.counted(5, 0, 0)
	})
}

// TestWebhookDropsOfATerm: what waits when its term ends is dropped, since it would come after the
// next leader's messages.
func TestWebhookDropsOfATerm(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.Raise(message.AlarmContested, "sub-1", 3, "told", time.Now())
		r.tells(time.Minute, "0s contested true told")
		r.answer(http.StatusServiceUnavailable)
		r.Clear(message.AlarmContested, "sub-1", 3, "refused", time.Now())
		r.Raise(message.AlarmLate, "sub-1", 3, "refused, too", time.Now())
		r.raise(message.AlarmToken, "of the process")
		r.told(time.Minute)
		r.Leave("sub-1", 3)
		r.answer(http.StatusOK)
		if got := r.told(2 * time.Minute); len(got) != 1 || !strings.HasSuffix(got[0], "token true of the process") {
			t.Errorf("told %q", got)
		}
		r.counted(2, r.count[Refused], 2)
		if lines := strings.Count(r.log.String(), `"reason":"`+termOver); lines != 2 {
			t.Errorf("%d lines of what is dropped:\n%s", lines, &r.log)
		}
		r.Raise(message.AlarmLate, "sub-1", 5, "anew", time.Now())
		r.tells(time.Second, "4m0s late true anew")
	})
}

// TestWebhookLeavesDuringAnAttempt: a term ends during an attempt. Its outcome does not count for
// the next term, and the attempt is not repeated.
func TestWebhookLeavesDuringAnAttempt(t *testing.T) {
	for status, dropped := range map[int]int{http.StatusOK: 0, http.StatusServiceUnavailable: 1} {
		withReceiver(t, func(r *receiver) {
			gate := make(chan struct{})
			r.change(func() { r.gate = gate })
			r.answer(status)
			r.Raise(message.AlarmContested, "sub-1", 3, "1", time.Now())
			r.tells(time.Second, "0s contested true 1")
			r.Leave("sub-1", 3)
			close(gate)
			r.tells(time.Minute)
			r.counted(1-dropped, dropped, dropped)
			r.answer(http.StatusOK)
			r.Raise(message.AlarmContested, "sub-1", 5, "2", time.Now())
			r.tells(time.Minute, "1m1s contested true 2")
		})
	}
	withReceiver(t, func(r *receiver) {
		gate := make(chan struct{})
		r.change(func() { r.gate = gate })
		r.Raise(message.AlarmContested, "sub-1", 3, "1", time.Now())
		r.tells(time.Second, "0s contested true 1")
		r.Clear(message.AlarmContested, "sub-1", 3, "2", time.Now())
		r.Leave("sub-1", 3)
		close(gate)
		r.tells(time.Minute)
		r.counted(1, 0, 1)
	})
}

// TestWebhookAdoptsUntold: an endpoint that was away in the previous term learns what is raised,
// and of its end.
func TestWebhookAdoptsUntold(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.answer(http.StatusServiceUnavailable)
		r.Adopt(message.AlarmContested, "sub-1", 5, "1", time.Now())
		r.Adopt(message.AlarmLate, "sub-1", 5, "2", time.Now())
		r.Clear(message.AlarmLate, "sub-1", 5, "3", time.Now()) // the previous leader may have posted it
		r.told(time.Minute)
		r.answer(http.StatusOK)
		got := r.told(2 * time.Minute)
		if all := strings.Join(got, "\n") + "\n"; len(got) != 2 || !strings.Contains(all, " contested true 1\n") || !strings.Contains(all, " late false 3\n") {
			t.Errorf("told %q", got)
		}
	})
}

// TestWebhookRenewed: a repetition of an alarm is posted after five minutes, and never as an end.
func TestWebhookRenewed(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.raise(message.AlarmSpool, "1")
		r.tells(time.Second, "0s spool true 1")
		for _, detail := range []string{"2", "3"} {
			r.Withdraw(message.AlarmSpool, "more has been lost", time.Now())
			r.tells(time.Second)
			r.raise(message.AlarmSpool, detail)
		}
		r.tells(10*time.Minute, "5m0s spool true 3")
		r.Withdraw(message.AlarmSpool, "more has been lost", time.Now())
		r.raise(message.AlarmSpool, "4")
		r.tells(time.Second, "10m3s spool true 4")
		r.clear(message.AlarmSpool, "5")
		r.tells(time.Hour, "10m4s spool false 5")
	})
}

// TestWebhookAbandoned: a process that stops posts that nobody watches its alarms any more, not
// that they are over.
func TestWebhookAbandoned(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.raise(message.AlarmToken, "no token")
		time.Sleep(time.Second)
		r.clear(message.AlarmToken, "a token")
		time.Sleep(time.Second)
		r.raise(message.AlarmSpooling, "no NATS")
		r.tells(time.Second, "0s token true no token", "1s token false a token", "2s spooling true no NATS")
		r.raise(message.AlarmToken, "no token") // due only after five minutes
		r.Abandon(message.AlarmToken, "this replica stops while it is raised: no token", time.Now())
		r.Abandon(message.AlarmSpooling, "this replica stops while it is raised: no NATS", time.Now())
		r.stop()
		got := locked(r, &r.got)
		if len(got) != 2 || len(r.Raised()) != 0 {
			t.Fatalf("told %q, raised are %v", got, r.Raised())
		}
		for n, want := range []string{
			"zoomstream: alarm token is no longer watched by replica replica-1: this replica stops while it is raised: no token; what to do: https://github.com/zoomstream/zoomstream/blob/main/docs/runbook.md#token",
			"zoomstream: alarm spooling is no longer watched by replica replica-1: this replica stops while it is raised: no NATS; what to do: https://github.com/zoomstream/zoomstream/blob/main/docs/runbook.md#spooling",
		} {
			if got[n].Text != want || got[n].Raised {
				t.Errorf("people are told %q, the alarm is raised: %t", got[n].Text, got[n].Raised)
			}
		}
	})
}

// TestWebhookDislikesOne: a message that is refused does not delay the others.
func TestWebhookDislikesOne(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.change(func() { r.disliked = message.AlarmToken })
		url := r.url
		r.setURL("") // until all three wait
		r.raise(message.AlarmToken, "1")
		r.raise(message.AlarmStream, "2")
		r.raise(message.AlarmSpooling, "3")
		r.setURL(url)
		got := r.told(5 * time.Second)
		if len(got) < 4 || !slices.Equal(got[:3], []string{"0s token true 1", "1s stream true 2", "1s spooling true 3"}) {
			t.Errorf("told %q", got)
		}
		r.change(func() { r.disliked = "" })
		if got := r.told(time.Minute); len(got) != 1 || !strings.HasSuffix(got[0], "token true 1") {
			t.Errorf("told %q", got)
		}
	})
}

// TestWebhookURL: the URL is read again after a refusal. Without one nothing is posted, and nothing
// is counted as dropped.
func TestWebhookURL(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.answer(http.StatusNotFound)
		r.raise(message.AlarmToken, "1")
		r.told(time.Minute)
		if r.refused == 0 {
			t.Error("nobody looks for another URL")
		}
		r.change(func() { r.url = "http://hooks.example/other" + hidden })
		r.answer(http.StatusOK)
		if got := r.told(2 * time.Minute); len(got) != 1 {
			t.Errorf("told %q", got)
		}
		r.setURL("")
		r.clear(message.AlarmToken, "2")
		r.raise(message.AlarmStream, "3")
		r.raise(message.AlarmSpooling, "4")
		r.clear(message.AlarmSpooling, "5")
		r.tells(time.Minute)
		r.counted(1, r.count[Refused], 0)
	})
}

// TestWebhookOtherURL: the endpoint of a new URL gets what is raised already.
func TestWebhookOtherURL(t *testing.T) {
	withReceiver(t, func(r *receiver) {
		r.setURL("")
		r.raise(message.AlarmToken, "1")
		r.raise(message.AlarmStream, "2")
		r.clear(message.AlarmStream, "3")
		r.tells(time.Hour)
		r.setURL("http://hooks.example/" + hidden)
		r.tells(time.Minute, "1h0m0s token true 1")
		r.setURL("http://hooks.example/other" + hidden)
		r.tells(time.Minute, "1h1m0s token true 1")
		r.hook.Wake() // the URL is the same
		r.tells(time.Hour)
		r.clear(message.AlarmToken, "4")
		r.tells(time.Second, "2h2m0s token false 4")
		r.setURL("http://hooks.example/third" + hidden)
		r.tells(time.Hour)
		r.counted(3, 0, 0)
	})
}

// setURL changes the URL like SIGHUP.
func (r *receiver) setURL(url string) {
	r.change(func() { r.url = url })
	r.hook.Wake()
}
