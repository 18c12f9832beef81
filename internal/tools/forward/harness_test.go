package forward

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
)

const testSecret = "s3cret-token"

// world is a nats-server with a stream of events, and an endpoint.
type world struct {
	t        *testing.T
	url      string
	js       jetstream.JetStream
	endpoint *endpoint
	log      syncbuf.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, url: natstest.Run(t, t.TempDir(), -1).ClientURL(), endpoint: newEndpoint(t)}
	var err error
	w.js, err = jetstream.New(w.connect(), jetstream.WithPublishAsyncMaxPending(4096))
	must(t, err)
	_, err = w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Storage: jetstream.MemoryStorage})
	must(t, err)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) connect() *nats.Conn {
	w.t.Helper()
	nc, err := nats.Connect(w.url, nats.ReconnectBufSize(-1), nats.MaxReconnects(-1))
	must(w.t, err)
	w.t.Cleanup(nc.Close)
	return nc
}

// options returns the options of a fast delivery.
func (w *world) options(parallel int) Options {
	to, err := url.Parse(w.endpoint.URL + "/must-not-leak?key=must-not-leak")
	must(w.t, err)
	return Options{
		Stream: "ZOOM", Prefix: "zoom", Name: "team", To: to, Secret: func() string { return testSecret }, UserAgent: "zoomstream/test", Since: time.Unix(1, 0),
		Parallel: parallel, Attempts: 8, Timeout: 250 * time.Millisecond, DeadReplicas: 1, Log: zerolog.New(&w.log),
		pace: pace{firstPause: time.Millisecond, longestPause: 4 * time.Millisecond, ackWait: time.Second, pull: time.Second, stop: 5 * time.Second, loss: 100 * time.Millisecond},
	}
}

// store stores an event about an object. Its number is in its body.
func (w *world) store(name string, n, object int) {
	w.t.Helper()
	m := nats.NewMsg("zoom." + name)
	m.Header = nats.Header{
		nats.MsgIdHdr: {"id-" + strconv.Itoa(n)}, "Zoom-Event": {name}, "x-zm-trackingid": {"track-" + strconv.Itoa(n)},
		"x-zm-request-timestamp": {"1700000000"}, "x-zm-signature": {"v0=old"}, "Zoom-Epoch": {"1"},
	}
	m.Data = fmt.Appendf(nil, "{\"event\":%q, \"payload\":{\"account_id\":\"acc\",\"object\":{\"id\":%d}},\"n\":%d,\"raw\":\"\\u00e9 \xff\"}", name, object, n)
	_, err := w.js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute))
	must(w.t, err)
}

func (w *world) stored() {
	w.t.Helper()
	select {
	case <-w.js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		w.t.Fatal("the events are not stored")
	}
}

// instance is a running delivery.
type instance struct {
	nc    *nats.Conn
	stop  context.CancelFunc
	ended chan error
}

func (w *world) start(o Options) *instance {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	i := &instance{nc: w.connect(), stop: cancel, ended: make(chan error, 1)}
	go func() { i.ended <- Run(ctx, natstest.JetStream(w.t, i.nc), o) }()
	w.t.Cleanup(func() {
		cancel()
		i.nc.Close()
	})
	return i
}

// end stops an instance in an orderly way.
func (w *world) end(i *instance) {
	w.t.Helper()
	i.stop()
	select {
	case err := <-i.ended:
		must(w.t, err)
	case <-time.After(30 * time.Second):
		w.t.Fatal("it does not end")
	}
}

// kill ends an instance like kill -9: nothing of it reaches NATS any more.
func (w *world) kill(i *instance) {
	w.t.Helper()
	i.nc.Close()
	i.stop()
	<-i.ended
}

// until waits up to 90 s until is reports true.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not %s; %d accepted\n%s", what, w.endpoint.count(), w.log.String())
		}
	}
}

func (w *world) deadLetters() (letters []*jetstream.RawStreamMsg) {
	w.t.Helper()
	stream, err := w.js.Stream(w.t.Context(), "ZOOM_DEAD")
	must(w.t, err)
	for seq := stream.CachedInfo().State.FirstSeq; seq <= stream.CachedInfo().State.LastSeq; seq++ {
		if m, err := stream.GetMsg(w.t.Context(), seq); err == nil {
			letters = append(letters, m)
		}
	}
	return letters
}

// arrival is an accepted delivery.
type arrival struct {
	n, object int
	header    http.Header
	body      string
}

// endpoint is a webhook handler that fails as tests want.
type endpoint struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	fails    func(n int) string // how the delivery of event n fails; empty: not at all
	accepted []arrival
	first    map[int]int // index of an event's first delivery in accepted
}

func newEndpoint(t *testing.T) *endpoint {
	e := &endpoint{t: t, fails: func(int) string { return "" }, first: make(map[int]int)}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) setFails(fails func(n int) string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fails = fails
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.first)
}

func (e *endpoint) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return // it was aborted
	}
	a := arrival{header: in.Header, body: string(body)}
	_, rest, _ := strings.Cut(a.body, `"id":`)
	if _, err := fmt.Sscanf(rest, `%d}},"n":%d,`, &a.object, &a.n); err != nil {
		e.t.Errorf("a body is %q: %v", body, err)
	}
	if want := sign(testSecret, in.Header.Get("x-zm-request-timestamp"), body); in.Header.Get("x-zm-signature") != want {
		e.t.Errorf("a signature is %q, not %q", in.Header.Get("x-zm-signature"), want)
	}
	e.mu.Lock()
	how := e.fails(a.n)
	if how == "" || how == "lost answer" {
		if _, ok := e.first[a.n]; !ok {
			e.first[a.n] = len(e.accepted)
		}
		e.accepted = append(e.accepted, a)
	}
	e.mu.Unlock()
	e.fail(out, in, how)
}

func (e *endpoint) fail(out http.ResponseWriter, in *http.Request, how string) {
	status, isStatus := strconv.Atoi(how)
	switch {
	case how == "":
		out.WriteHeader(http.StatusNoContent)
	case how == "timeout":
		<-in.Context().Done()
	case how == "endless answer":
		out.WriteHeader(http.StatusInternalServerError)
		for in.Context().Err() == nil {
			if _, err := out.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	case isStatus == nil:
		out.Header().Set("Retry-After", "0")
		out.Header().Set("Location", "/elsewhere")
		out.WriteHeader(status)
	default: // reset, lost answer
		conn, _, err := out.(http.Hijacker).Hijack()
		if err != nil {
			e.t.Error(err)
			return
		}
		conn.Close() //nolint:errcheck // that is what it is for
	}
}

// never returns how the endpoint refuses an event that it never accepts; empty: it accepts it.
func never(n int) string {
	switch {
	case n%1000 == 13:
		return "422"
	case n%2500 == 27:
		return "500"
	}
	return ""
}

// inEveryWay returns failures of all kinds now and then, and of some events always.
func inEveryWay(seed uint64) func(n int) string {
	random := rand.New(rand.NewPCG(seed, seed))
	ways := []string{"401", "408", "429", "500", "502", "503", "404", "302", "reset", "lost answer"}
	slow := []string{"timeout", "endless answer"}
	return func(n int) string {
		if how := never(n); how != "" {
			return how
		}
		switch k := random.IntN(1000); {
		case k < 1:
			return slow[random.IntN(len(slow))]
		case k < 80:
			return ways[random.IntN(len(ways))]
		}
		return ""
	}
}
