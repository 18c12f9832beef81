package lease

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/testkit/pipenet"
)

// TestMain starts the nats-server's clock for access times outside any bubble.
func TestMain(m *testing.M) {
	zerolog.TimeFieldFormat = time.RFC3339Nano
	ats.Register()
	code := m.Run()
	ats.Unregister()
	os.Exit(code)
}

const (
	ttl = 15 * time.Second
	sub = "sub-1"
)

// world is a real nats-server and candidates on fake time. Each candidate has a link of its own.
type world struct {
	t  *testing.T
	s  *server.Server
	js jetstream.JetStream

	deaf      bool                                          // members cannot ask one another
	log       io.Writer                                     // of the members; nil: the test's log
	elsewhere func(context.Context, string) uint64          // see Options.Epoch
	recorded  func(context.Context, string) (uint64, error) // see Options.Recorded

	mu   sync.Mutex
	held map[string][]*member // the leaders, by subscription; a lost term counts until its member knows of the loss
}

// member is one candidate.
type member struct {
	*Candidate
	w    *world
	name string
	link *pipenet.Link
	nc   *nats.Conn
	stop func() // releases the leases, and ends the candidate

	mu     sync.Mutex
	terms  []*Term
	ctx    context.Context // of the latest
	causes []error
}

func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	runtime.GC() // nats.go's pool must not keep timers of the last bubble
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, held: make(map[string][]*member)}
		w.s = natstest.Start(t, &server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir()})
		nc, err := nats.Connect("", nats.InProcessServer(w.s))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		if w.js, err = jetstream.New(nc); err != nil {
			t.Fatal(err)
		}
		// On fake time, files with an age limit look too old.
		_, err = w.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "leases", LimitMarkerTTL: time.Second, Storage: jetstream.MemoryStorage})
		if err != nil {
			t.Fatal(err)
		}
		f(t, w)
	})
}

type provider struct{ link *pipenet.Link }

func (p provider) InProcessConn() (net.Conn, error) { return p.link.DialNow(context.Background()) }

// join starts a candidate for some subscriptions. It stops at the end of the test.
func (w *world) join(name string, subscriptions ...string) *member {
	w.t.Helper()
	m := &member{w: w, name: name, link: pipenet.NewLink(func(context.Context) (net.Conn, error) { return w.s.InProcessConn() })}
	var err error
	m.nc, err = nats.Connect("", nats.InProcessServer(provider{m.link}), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
		nats.ReconnectWait(100*time.Millisecond), nats.PingInterval(10*time.Second), nats.MaxPingsOutstanding(2))
	if err != nil {
		w.t.Fatal(err)
	}
	js, err := jetstream.New(m.nc, jetstream.WithDefaultTimeout(3*time.Second))
	if err != nil {
		w.t.Fatal(err)
	}
	bucket, err := kv.Open(w.t.Context(), js, kv.Options{Name: "leases", TTLs: true})
	if err != nil {
		w.t.Fatal(err)
	}
	log := w.log
	if log == nil {
		log = zerolog.NewTestWriter(w.t)
	}
	subjects := "leases"
	if w.deaf {
		subjects = name
	}
	m.Candidate = New(m.nc, bucket, Options{
		Bucket: subjects, TTL: ttl, Replica: name, Subscriptions: subscriptions, Log: zerolog.New(log).With().Timestamp().Str("replica", name).Logger(),
		Epoch: w.elsewhere, Recorded: w.recorded, Answer: func(question string) []byte { return []byte(name + " on " + question) },
	})
	beside, end := context.WithCancel(context.Background())
	ctx, cancel := context.WithCancel(context.Background())
	var running, campaigns sync.WaitGroup
	running.Go(func() {
		if err := m.Run(beside); err != nil {
			w.t.Error(err)
		}
	})
	for _, s := range subscriptions {
		campaigns.Go(func() {
			if err := m.Campaign(ctx, s, m.lead); err != nil {
				w.t.Error(err)
			}
		})
	}
	stopping := make(chan struct{}, 1)
	stopped := make(chan struct{})
	m.stop = func() {
		select {
		case stopping <- struct{}{}:
		default:
			<-stopped
			return
		}
		m.Leave()
		cancel()
		campaigns.Wait()
		end()
		running.Wait()
		m.nc.Close()
		m.link.Close()
		close(stopped)
	}
	w.t.Cleanup(m.stop)
	return m
}

// leader starts a candidate, and waits until it leads.
func (w *world) leader(name string) *member {
	w.t.Helper()
	m := w.join(name, sub)
	w.await(name+" leads", time.Second, func() bool { return m.leads(sub) })
	return m
}

// crash cuts a member off for good. Others see nothing of its end.
func (m *member) crash() {
	m.link.Cut()
	go m.stop()
}

func (m *member) lead(ctx context.Context, t *Term) error {
	t.SetConnected(true)
	m.mu.Lock()
	m.terms, m.ctx = append(m.terms, t), ctx
	m.mu.Unlock()
	m.w.mu.Lock()
	m.w.held[t.Subscription] = append(m.w.held[t.Subscription], m)
	m.w.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	m.causes = append(m.causes, context.Cause(ctx))
	m.mu.Unlock()
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	all := m.w.held[t.Subscription]
	for i := range all {
		if all[i] == m {
			m.w.held[t.Subscription] = append(all[:i:i], all[i+1:]...)
			break
		}
	}
	return nil
}

// leads reports whether a member leads a subscription, as far as the member knows.
func (m *member) leads(subscription string) bool {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	for _, one := range m.w.held[subscription] {
		if one == m {
			return true
		}
	}
	return false
}

// count returns how many subscriptions a member leads.
func (m *member) count() int { return m.led() }

// reigns returns how many terms a member has had.
func (m *member) reigns() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.terms)
}

// cause returns why the member's last term ended.
func (m *member) cause() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.causes[len(m.causes)-1]
}

// term returns the member's latest term, or nil.
func (m *member) term() *Term {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.terms) == 0 {
		return nil
	}
	return m.terms[len(m.terms)-1]
}

// trusted reports whether the member's latest term is trusted now.
func (m *member) trusted() bool { return m.term().isTrusted() }

// dial begins a dial of the member's latest term. done ends it.
func (m *member) dial() (permitted context.Context, done func()) {
	m.w.t.Helper()
	m.mu.Lock()
	ctx := m.ctx
	m.mu.Unlock()
	permitted, done, err := m.term().Permit(ctx)
	if err != nil {
		m.w.t.Fatal(err)
	}
	return permitted, sync.OnceFunc(done)
}

// await waits until a condition holds, and returns how long that took. It fails the test after
// longest.
func (w *world) await(what string, longest time.Duration, holds func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > longest {
			w.t.Fatalf("not within %s: %s", longest, what)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

func subscriptions(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("sub-%d", i+1)
	}
	return all
}
