package app

import (
	"context"
	"crypto/sha256"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/testkit/syncbuf"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
	"github.com/zoomstream/zoomstream/message"
)

const (
	subID        = "sub-1"
	clientID     = "client-id-must-not-leak"
	clientSecret = "client-secret-must-not-leak"
	secretToken  = "secret-token-must-not-leak"
	accountID    = "account-1"
)

// harness is a connector between a simulated Zoom and a real nats-server, each behind a real
// socket.
type harness struct {
	t        testing.TB
	sim      *zoomsim.Sim
	web      *httptest.Server
	nats     *server.Server
	settings config.Settings
	log      *syncbuf.Buffer
	js       jetstream.JetStream
	stop     func() error // ends the connector and returns its error
	ended    <-chan error // its error, if it ends by itself
}

func newHarness(t testing.TB) *harness {
	t.Helper()
	h := &harness{t: t, log: &syncbuf.Buffer{}}
	h.sim = zoomsim.New(zoomsim.Options{ClientID: clientID, ClientSecret: clientSecret, AccountID: accountID, SecretToken: secretToken})
	h.web = httptest.NewServer(h.sim.Handler())
	h.nats = natstest.Run(t, t.TempDir(), -1)
	h.settings = config.Settings{
		ZoomClientID: clientID, ZoomClientSecret: clientSecret, ZoomAccountID: accountID, ZoomSecretToken: secretToken,
		ZoomOAuthURL:     h.web.URL + "/oauth/token",
		ZoomWebSocketURL: "ws" + strings.TrimPrefix(h.web.URL, "http") + "/ws?subscriptionId=" + subID,
		NATSURL:          h.nats.ClientURL(), DataDir: t.TempDir(), HTTPAddr: "off", NATSAddr: "127.0.0.1:0", Replica: "replica-1",
	}
	h.js = connectNATS(t, h.nats.ClientURL())
	t.Cleanup(func() {
		h.end()
		h.sim.Close()
		h.web.Close()
		if text := h.log.String(); strings.Contains(text, "must-not-leak") || strings.Contains(text, "eyJ") {
			t.Errorf("a secret is in the log:\n%s", text)
		}
	})
	return h
}

func connectNATS(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// start runs a connector until stop is called or the test ends.
func (h *harness) start() {
	h.t.Helper()
	cfg, err := config.Load(h.settings, "", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	h.ended = done
	go func() {
		defer close(done)
		done <- Run(ctx, Options{Config: cfg, Version: "test", Log: zerolog.New(h.log).Level(zerolog.TraceLevel)})
	}()
	h.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
}

func (h *harness) end() {
	if h.stop != nil {
		h.stop() //nolint:errcheck // a test that cares calls stop itself
	}
}

// connected starts a connector and waits until events reach it.
func (h *harness) connected() {
	h.t.Helper()
	h.start()
	h.ready()
}

func (h *harness) ready() {
	h.t.Helper()
	h.readyWithin(30 * time.Second)
}

func (h *harness) readyWithin(d time.Duration) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), d)
	defer cancel()
	if err := h.sim.WaitReady(ctx, subID); err != nil {
		h.t.Fatalf("not connected: %v\n%s", err, h.log)
	}
}

// finish waits until Zoom has written everything, and stops the connector without a loss. If a slow
// machine leaves something in the spool, it runs the connector again to publish that.
func (h *harness) finish() {
	h.t.Helper()
	h.drain()
	for left := true; left; {
		from := len(h.log.String())
		if err := h.stop(); err != nil {
			h.t.Fatalf("the connector ended with %v\n%s", err, h.log)
		}
		if left = strings.Contains(h.log.String()[from:], `"code":"spool.left"`); left {
			h.start()
			for deadline := time.Now().Add(time.Minute); !strings.Contains(h.log.String()[from:], `"code":"spool.ended"`); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					h.t.Fatalf("what was left in the spool is not published\n%s", h.log)
				}
			}
		}
	}
}

func (h *harness) drain() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 60*time.Second)
	defer cancel()
	if err := h.sim.Drain(ctx, subID); err != nil {
		h.t.Fatal(err)
	}
}

// waitStored waits until the stream has so many messages, not counting gap markers.
func (h *harness) waitStored(count int) {
	h.t.Helper()
	h.waitCount(count, gapSubject)
}

// waitEvents waits until the stream has so many events. Call it after a stop, which may leave some
// on disk if NATS takes too long.
func (h *harness) waitEvents(count int) {
	h.t.Helper()
	h.waitCount(count, "zoom._bridge.>")
}

// waitCount waits until the stream has so many messages, not counting those on the given subjects.
func (h *harness) waitCount(count int, besides string) {
	h.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if h.count(besides) >= count {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%d messages are not stored\n%s", count, h.log)
		}
	}
}

func (h *harness) count(besides string) int {
	stream, err := h.js.Stream(h.t.Context(), "ZOOM")
	if err != nil {
		return 0
	}
	info, err := stream.Info(h.t.Context(), jetstream.WithSubjectFilter(besides))
	if err != nil {
		return 0
	}
	count := info.State.Msgs
	for _, n := range info.State.Subjects {
		count -= n
	}
	return int(count)
}

const gapSubject = "zoom._bridge.gap"

// stored returns all messages of the stream but gap markers.
func (h *harness) stored() []jetstream.Msg {
	h.t.Helper()
	return slices.DeleteFunc(h.all(), func(msg jetstream.Msg) bool { return msg.Subject() == gapSubject })
}

// gaps returns the stream's gap markers.
func (h *harness) gaps() []message.Gap {
	h.t.Helper()
	var gaps []message.Gap
	for _, msg := range h.all() {
		if msg.Subject() == gapSubject {
			gap, err := message.ParseGap(msg.Data(), time.Now())
			if err != nil || gap.Impossible {
				h.t.Fatalf("%s: %v", msg.Data(), err)
			}
			gaps = append(gaps, gap)
		}
	}
	return gaps
}

// all returns all messages of the stream.
func (h *harness) all() []jetstream.Msg {
	h.t.Helper()
	stream, err := h.js.Stream(h.t.Context(), "ZOOM")
	if err != nil {
		h.t.Fatal(err)
	}
	count := int(stream.CachedInfo().State.Msgs)
	if count == 0 {
		return nil
	}
	consumer, err := stream.OrderedConsumer(h.t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		h.t.Fatal(err)
	}
	batch, err := consumer.Fetch(count, jetstream.FetchMaxWait(30*time.Second))
	if err != nil {
		h.t.Fatal(err)
	}
	var messages []jetstream.Msg
	for msg := range batch.Messages() {
		messages = append(messages, msg)
	}
	if len(messages) != count {
		h.t.Fatalf("read %d of %d messages: %v", len(messages), count, batch.Error())
	}
	return messages
}

// natsPort returns the port of the harness's nats-server.
func (h *harness) natsPort() int { return h.nats.Addr().(*net.TCPAddr).Port }

// seal has the stream refuse all messages, or accept them again. (It takes away the room: a sealed
// stream could not be opened again.)
func (h *harness) seal(closed bool) {
	h.t.Helper()
	stream, err := h.js.Stream(h.t.Context(), "ZOOM")
	if err != nil {
		h.t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Discard, cfg.MaxMsgs = jetstream.DiscardOld, -1
	if closed {
		cfg.Discard, cfg.MaxMsgs = jetstream.DiscardNew, int64(stream.CachedInfo().State.Msgs)
	}
	if _, err := h.js.UpdateStream(h.t.Context(), cfg); err != nil {
		h.t.Fatal(err)
	}
}

// storedInOrder checks that Zoom has sent so many events, and that the stream has each once, in
// Zoom's order.
func (h *harness) storedInOrder(count int) {
	h.t.Helper()
	stored := slices.DeleteFunc(h.stored(), func(msg jetstream.Msg) bool { return msg.Subject() == "zoom._bridge.alarm" })
	entries := h.sim.Ledger().Entries
	if len(stored) != count || len(entries) != count {
		h.t.Errorf("%d of %d events stored, want %d", len(stored), len(entries), count)
	}
	for i := range min(len(stored), len(entries)) {
		if sha256.Sum256(stored[i].Data()) != entries[i].Digest {
			h.t.Fatalf("event %d is not where it should be: %.200q", i, stored[i].Data())
		}
	}
}
