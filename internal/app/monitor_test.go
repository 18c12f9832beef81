package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
	"github.com/zoomstream/zoomstream/internal/watch/status"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// startWith is start with changed options.
func (h *harness) startWith(change func(*Options)) {
	h.t.Helper()
	cfg, err := config.Load(h.settings, "", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	o := Options{Config: cfg, Version: "test", Log: zerolog.New(h.log).Level(zerolog.TraceLevel)}
	change(&o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	h.ended = done
	go func() {
		defer close(done)
		done <- Run(ctx, o)
	}()
	h.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(12 * time.Second):
			return errStuck
		}
	})
}

var errStuck = fmt.Errorf("it does not end")

func newMonitored(t *testing.T) *harness {
	t.Helper()
	t.Parallel()
	h := newHarness(t)
	h.settings.HTTPAddr = "127.0.0.1:0"
	return h
}

var listening = regexp.MustCompile(`"code":"http.listening","url":"([^"]+)"`)

// url returns where the latest connector serves HTTP.
func (h *harness) url() string {
	h.t.Helper()
	var found string
	h.await("it listens", 10*time.Second, func() bool {
		all := listening.FindAllStringSubmatch(h.log.String(), -1)
		if len(all) > 0 {
			found = strings.TrimSuffix(all[len(all)-1][1], "/")
		}
		return len(all) > 0
	})
	return found
}

func (h *harness) await(what string, longest time.Duration, holds func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(longest); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("not within %s: %s\n%s", longest, what, h.log)
		}
	}
}

// get reads a page. Without an answer the code is 0.
func (h *harness) get(path string) (code int, body string) {
	h.t.Helper()
	response, err := (&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get(h.url() + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

func (h *harness) status() (r status.Replica) {
	h.t.Helper()
	code, body := h.get("/status")
	if code != http.StatusOK || json.Unmarshal([]byte(body), &r) != nil {
		h.t.Fatalf("/status: %d %.300s", code, body)
	}
	return r
}

// raised reports whether the status shows an alarm as raised.
func (h *harness) raised(name string) bool {
	for _, a := range h.status().Alarms {
		if a.Alarm == name {
			return true
		}
	}
	return false
}

// TestHTTPBeforeNATS: before NATS is there, HTTP shows that NATS is missing and that the process is
// alive.
func TestHTTPBeforeNATS(t *testing.T) {
	h := newMonitored(t)
	port, dir := h.natsPort(), t.TempDir()
	natstest.Stop(h.nats)
	h.startWith(func(*Options) {})
	if code, body := h.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d %s", code, body)
	}
	if code, body := h.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "starting") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	s := h.status()
	if s.Phase != status.Starting || s.Replica != "replica-1" || s.Nonce != "" || s.Subscriptions == nil || s.Others == nil || s.Alarms == nil || s.HTTP != h.url()+"/" {
		t.Errorf("%+v", s)
	}
	for _, path := range []string{"/", "/metrics"} {
		if code, body := h.get(path); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	server := natstest.Run(t, dir, port)
	h.ready()
	if s := h.status(); s.Phase != status.Ready || !s.Outbox.NATS {
		t.Errorf("%+v", s)
	}
	natstest.Stop(server)
	h.await("it is not ready without NATS", 5*time.Second, func() bool { code, _ := h.get("/readyz"); return code == http.StatusServiceUnavailable })
	if code, _ := h.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d while NATS is away", code)
	}
	if s := h.status(); s.Phase != status.Ready || s.Outbox.NATS {
		t.Errorf("%+v", s)
	}
	natstest.Run(t, dir, port)
	h.await("it is ready again", 10*time.Second, func() bool { code, _ := h.get("/readyz"); return code == http.StatusOK })
}

// TestStopBeforeNATS: waiting for NATS does not hold up a stop.
func TestStopBeforeNATS(t *testing.T) {
	h := newMonitored(t)
	natstest.Stop(h.nats)
	h.startWith(func(*Options) {})
	h.url()
	began := time.Now()
	if err := h.stop(); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("ended after %s with %v", time.Since(began), err)
	}
	if code, _ := h.get("/healthz"); code != 0 {
		t.Errorf("it still serves: %d", code)
	}
}

// TestTakenHTTPAddress: if the HTTP address is taken the connector ends at once, whatever NATS
// does.
func TestTakenHTTPAddress(t *testing.T) {
	h := newMonitored(t)
	h.startWith(func(*Options) {})
	stop := h.stop
	h.settings.HTTPAddr = strings.TrimPrefix(h.url(), "http://")
	h.startWith(func(o *Options) { o.Config.Replica = "replica-2" })
	select {
	case err := <-h.ended:
		if err == nil || !strings.Contains(err.Error(), "ZOOMSTREAM_HTTP_ADDR") {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestPageDoesNotHoldUpTheEnd: a page that somebody watches while NATS is away does not hold up a
// stop.
func TestPageDoesNotHoldUpTheEnd(t *testing.T) {
	h := newMonitored(t)
	h.settings.SpoolMax = "64MiB"
	h.startWith(func(*Options) {})
	h.ready()
	response, err := http.Get(h.url() + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for n := 0; n < 2; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "data: ") {
			n++
		}
	}
	natstest.Stop(h.nats)
	time.Sleep(1500 * time.Millisecond) // the page is polled again meanwhile
	began := time.Now()
	if err := h.stop(); err != nil {
		t.Errorf("%s after it was told to stop, with somebody watching: %v", time.Since(began).Round(time.Second), err)
	}
}

// TestANewLeaderAdopts: a new leader adopts what the previous term left once it is connected. Until
// then, an overview shows what the bucket has.
func TestANewLeaderAdopts(t *testing.T) {
	h := newMonitored(t)
	h.connected()
	h.sim.Cut(subID) // makes a gap
	h.await("the gap is over", 10*time.Second, func() bool { s := h.status().Subscriptions[0]; return s.LastGap != nil && s.State == "connected" })
	gap := h.status().Subscriptions[0].LastGap
	h.settings.HTTPAddr = strings.TrimPrefix(h.url(), "http://")
	h.end()
	stopped := time.Now()
	if err := h.sim.Refuse(subID, zoomsim.Refusal{Mode: zoomsim.RefuseHTTP503}, zoomsim.Span{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // nobody is connected for a second

	h.start()
	h.await("it listens again", 10*time.Second, func() bool { return len(listening.FindAllString(h.log.String(), -1)) == 2 })
	h.await("it leads without a connection", 10*time.Second, func() bool {
		all := h.status().Subscriptions // empty while it starts
		return len(all) == 1 && all[0].Role == status.Leader && all[0].Adopting
	})
	nc, err := nats.Connect(h.nats.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	o, err := status.Ask(t.Context(), natstest.JetStream(t, nc), status.AskOptions{Bucket: "zoomstream"})
	if err != nil {
		t.Fatal(err)
	}
	if l := o.Subscriptions[0]; !l.Answered || l.State != "disconnected" || l.StateSince.After(stopped) || l.LastGap == nil || !l.LastGap.From.Equal(gap.From) {
		t.Errorf("%+v, last gap %+v; it stopped at %s", l, l.LastGap, stopped)
	}
	h.sim.Reset()
	h.await("it has adopted that", 20*time.Second, func() bool {
		s := h.status().Subscriptions[0]
		return s.State == "connected" && !s.Adopting && s.LastGap != nil && s.LastGap.From.After(gap.From)
	})
}

// TestStatusAgrees: HTTP, NATS and Prometheus report the same, and no secret.
func TestStatusAgrees(t *testing.T) {
	h := newMonitored(t)
	h.startWith(func(o *Options) { o.Version, o.Commit = "v1.2.3", "abc" })
	h.ready()
	for range 3 {
		h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	}
	h.sim.SendRaw(subID, []byte("broken"), false)
	h.waitStored(4)
	nc, err := nats.Connect(h.nats.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var asked, told status.Replica
	h.await("both say that all is stored", 10*time.Second, func() bool {
		msg, err := nc.Request("zoomstream.zoomstream.status", []byte(`{"history":true}`), 2*time.Second)
		if err != nil || json.Unmarshal(msg.Data, &asked) != nil {
			return false
		}
		told = h.status()
		return len(told.Subscriptions) == 1 && told.Subscriptions[0].Published == 3 && len(asked.Subscriptions) == 1 && asked.Subscriptions[0].Published == 3
	})
	if asked.Replica != told.Replica || asked.Nonce != told.Nonce || asked.Nonce == "" || asked.PID != told.PID || !asked.Started.Equal(told.Started) || asked.Version != "v1.2.3" || asked.Phase != told.Phase || asked.HTTP != h.url()+"/" {
		t.Errorf("%+v\n%+v", asked, told)
	}
	a, b := asked.Subscriptions[0], told.Subscriptions[0]
	if a.Role != status.Leader || a.Role != b.Role || a.State != "connected" || a.Leader != "replica-1" || a.LeaderNonce != asked.Nonce || a.Epoch != b.Epoch || a.Epoch == 0 || a.Events != 3 || b.Events != 3 || a.Malformed != 1 || a.Connects != 1 ||
		a.Trusted <= 0 || a.LastEvent.IsZero() || !a.LastEvent.Equal(b.LastEvent) || a.Since.IsZero() || a.Late.Count == 0 || a.Trouble != "" {
		t.Errorf("%+v\n%+v", a, b)
	}
	if asked.Token.Refreshes != 1 || asked.Token.Expires.Before(time.Now()) || !asked.Outbox.Direct || asked.Outbox.Stream != "ZOOM" || asked.Outbox.Server == "" {
		t.Errorf("%+v %+v", asked.Token, asked.Outbox)
	}
	code, metrics := h.get("/metrics")
	for _, line := range []string{
		`zoomstream_events_received_total{subscription="sub-1"} 3`, `zoomstream_events_published_total{subscription="sub-1"} 3`, `zoomstream_events_malformed_total{subscription="sub-1"} 1`,
		`zoomstream_leader{subscription="sub-1"} 1`, `zoomstream_connected{subscription="sub-1"} 1`, `zoomstream_ready 1`, `zoomstream_build_info{commit="abc",version="v1.2.3"} 1`, `zoomstream_alarm{alarm="stream",subscription=""} 0`,
		`zoomstream_token_refreshes_total{outcome="ok"} 1`, `zoomstream_lease_transitions_total{reason="taken",subscription="sub-1"} 1`, `zoomstream_connects_total{outcome="ready",subscription="sub-1"} 1`,
	} {
		if code != http.StatusOK || !strings.Contains(metrics, "\n"+line+"\n") {
			t.Errorf("/metrics has no %s", line)
		}
	}
	for path, text := range map[string]string{"/metrics": metrics, "/status?history": second(h.get("/status?history")), "/": second(h.get("/")), "/events": h.watch(2)} {
		for _, secret := range []string{"must-not-leak", "eyJ", "access_token", "Bearer"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q", path, secret)
			}
		}
		if len(text) == 0 {
			t.Errorf("%s is empty", path)
		}
	}
}

func second(_ int, text string) string { return text }

// watch reads count messages of the page's event stream.
func (h *harness) watch(count int) string {
	h.t.Helper()
	request, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.url()+"/events", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	var all strings.Builder
	for count > 0 {
		line, err := lines.ReadString('\n')
		if err != nil {
			h.t.Fatal(err)
		}
		if strings.HasPrefix(line, "data: ") {
			all.WriteString(line)
			count--
		}
	}
	return all.String()
}

// TestSecretsInTrouble: trouble is reported without secrets.
func TestSecretsInTrouble(t *testing.T) {
	h := newMonitored(t)
	h.startWith(func(*Options) {})
	h.ready()
	if err := h.sim.Refuse(subID, zoomsim.Refusal{Mode: zoomsim.RefuseHTTP503}, zoomsim.Span{}); err != nil {
		t.Fatal(err)
	}
	if err := h.sim.FailTokens(zoomsim.TokenFault{Mode: zoomsim.TokenInvalidClient}, zoomsim.Span{}); err != nil {
		t.Fatal(err)
	}
	h.sim.Cut(subID)
	h.await("the trouble shows", 10*time.Second, func() bool { return h.status().Subscriptions[0].Trouble != "" })
	s := h.status().Subscriptions[0]
	if s.State == "connected" || s.Role != status.Leader {
		t.Errorf("%+v", s)
	}
	for _, path := range []string{"/status", "/metrics"} {
		_, text := h.get(path)
		for _, secret := range []string{"must-not-leak", "eyJ", "access_token="} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q", path, secret)
			}
		}
	}
	if code, _ := h.get("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d: a replica that Zoom refuses is ready, as a standby is", code)
	}
	h.sim.Reset()
	h.readyWithin(90 * time.Second) // a denied secret is tried again after a minute
	h.await("the trouble is over", 5*time.Second, func() bool { return h.status().Subscriptions[0].Trouble == "" })
}

// TestCountersGoOnOverTerms: a replica that leads again continues its counters.
func TestCountersGoOnOverTerms(t *testing.T) {
	h := newMonitored(t)
	down := make(chan struct{})
	h.startWith(func(o *Options) { o.StepDown = down })
	h.ready()
	url := h.url()
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	h.waitStored(1)
	other := &harness{t: t, sim: h.sim, settings: h.settings, log: &syncbuf.Buffer{}}
	other.settings.Replica, other.settings.DataDir = "replica-2", t.TempDir()
	other.startWith(func(*Options) {})
	h.await("they hear of one another", 10*time.Second, func() bool { return len(h.status().Others) == 1 && len(other.status().Others) == 1 })
	down <- struct{}{}
	other.await("the other one leads", 10*time.Second, func() bool {
		s := other.status().Subscriptions[0]
		return s.Role == status.Leader && s.State == "connected"
	})
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	h.waitStored(2)
	s := h.status().Subscriptions[0]
	if s.Role != status.Standby || s.Leader != "replica-2" || s.Events != 1 || s.State != "" || s.Epoch != other.status().Subscriptions[0].Epoch {
		t.Errorf("%+v", s)
	}
	if err := other.stop(); err != nil {
		t.Fatal(err)
	}
	h.await("this one leads again", 20*time.Second, func() bool {
		s := h.status().Subscriptions[0]
		return s.Role == status.Leader && s.State == "connected"
	})
	h.sim.Emit(subID, zoomsim.Event{Name: "meeting.started"})
	h.waitStored(3)
	h.await("it has counted two", 5*time.Second, func() bool { return h.status().Subscriptions[0].Published == 2 })
	s = h.status().Subscriptions[0]
	_, metrics := h.get("/metrics")
	for _, line := range []string{
		`zoomstream_events_received_total{subscription="sub-1"} 2`, `zoomstream_events_published_total{subscription="sub-1"} 2`, `zoomstream_lease_transitions_total{reason="released",subscription="sub-1"} 1`,
		`zoomstream_lease_transitions_total{reason="taken",subscription="sub-1"} 2`, `zoomstream_connects_total{outcome="ready",subscription="sub-1"} 2`, `zoomstream_gaps_total{subscription="sub-1"} 0`,
	} {
		if !strings.Contains(metrics, "\n"+line+"\n") {
			t.Errorf("/metrics has no %s", line)
		}
	}
	if s.Events != 2 || s.Connects != 2 || h.url() != url {
		t.Errorf("counters are since the replica's start, which has connected twice: %+v", s)
	}
}

// TestTooLargeIsCounted: an event that is too large for NATS, and a frame that is too large to
// read, each count as malformed once. The alert covers both.
func TestTooLargeIsCounted(t *testing.T) {
	h := newMonitored(t)
	h.startWith(func(*Options) {})
	h.ready()
	h.sim.Emit(subID, zoomsim.Event{Body: zoomsim.SizedBody("recording.completed", 3<<20)})
	h.sim.Emit(subID, zoomsim.Event{Body: zoomsim.SizedBody("recording.completed", 2<<20)})
	h.sim.Emit(subID, zoomsim.Event{Body: []byte(`{"no":"event"}`)})
	h.waitStored(3)
	h.await("three are counted", 5*time.Second, func() bool {
		_, metrics := h.get("/metrics")
		return strings.Contains(metrics, "\n"+`zoomstream_events_malformed_total{subscription="sub-1"} 3`+"\n")
	})
	if told := h.status(); told.Subscriptions[0].Malformed != 3 {
		t.Errorf("the status tells of %d", told.Subscriptions[0].Malformed)
	}
}

// TestWaitingForJetStream: a replica that has NATS but no JetStream does not claim to have no NATS:
// not in its status, on the page, or to systemd.
func TestWaitingForJetStream(t *testing.T) {
	h := newMonitored(t)
	core := natstest.Start(t, &server.Options{Host: "127.0.0.1", Port: -1})
	h.settings.NATSURL = core.ClientURL()
	h.startWith(func(*Options) {})
	h.await("it waits for JetStream", 10*time.Second, func() bool { return strings.Contains(h.log.String(), "waiting for JetStream") })
	told := h.status()
	if told.Phase != status.Starting || !told.Outbox.NATS || summary(&told) != "waiting for JetStream" {
		t.Errorf("%+v: %s", told, summary(&told))
	}
	if text := h.watch(1); !strings.Contains(text, "is connected to NATS and waits for JetStream") || strings.Contains(text, "no connection to NATS") {
		t.Errorf("the page is told %s", text)
	}
	natstest.Stop(core)
	h.await("it has lost NATS", 10*time.Second, func() bool { return !h.status().Outbox.NATS })
	if text := h.watch(1); !strings.Contains(text, "no connection to NATS") {
		t.Errorf("the page is told %s", text)
	}
}
