package natsconn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// startShared starts an embedded server that anybody may read, with everything that zoomstream
// stores.
func startShared(t *testing.T) *Embedded {
	t.Helper()
	e := startReadable(t)
	likeTheConnector(t, connect(t, Options{URL: e.URL()}))
	return e
}

// startReadable starts an embedded server that anybody may read, without a stream.
func startReadable(t *testing.T) *Embedded {
	t.Helper()
	e, err := StartEmbedded(t.Context(), EmbeddedOptions{
		DataDir: t.TempDir(), Addr: "127.0.0.1:0", Readers: &Readable{Prefix: "zoom", Stream: "ZOOM", Bucket: "zoomstream"},
	})
	must(t, err)
	t.Cleanup(e.Shutdown)
	return e
}

// TestConfReader: without a login one has the rights of the user reader in nats.conf.
func TestConfReader(t *testing.T) {
	for _, user := range confUsers(t) {
		if user.Username != "reader" {
			continue
		}
		want := (&Readable{Prefix: "zoom", Stream: "ZOOM", Bucket: "zoomstream"}).permissions()
		for _, kind := range []struct{ got, want []string }{
			{user.Permissions.Publish.Allow, want.Publish.Allow}, {user.Permissions.Subscribe.Allow, want.Subscribe.Allow},
		} {
			if slices.Sort(kind.got); !slices.Equal(kind.got, slices.Sorted(slices.Values(kind.want))) {
				t.Errorf("nats.conf: %v\nembedded:  %v", kind.got, kind.want)
			}
		}
		return
	}
	t.Error("nats.conf has no user reader")
}

func TestAnonymousReads(t *testing.T) {
	t.Parallel()
	e := startShared(t)
	log, logger := newLog()
	nc := connect(t, Options{URL: e.ClientURL(), Log: logger})
	likeAReader(t, nc)
	js, err := jetstream.New(nc)
	must(t, err)
	states, err := js.KeyValue(t.Context(), "zoomstream-state")
	must(t, err)
	_, err = states.Get(t.Context(), "key0")
	must(t, err)
	old, err := nc.JetStream() // the client library's former interface finds the stream, too, and gets messages pushed
	must(t, err)
	sub, err := old.SubscribeSync("zoom.meeting.>", nats.OrderedConsumer())
	must(t, err)
	_, err = sub.NextMsg(5 * time.Second)
	must(t, err)
	flush(t, nc)
	if log.with(t, "denies") > 0 {
		t.Errorf("a client without a login lacks a right:\n%s", log)
	}
}

// TestAnonymousChangesNothing: a client without a login cannot change anything, neither directly
// nor by having the server send something: as an answer, a consumer's delivery or a trace.
func TestAnonymousChangesNothing(t *testing.T) {
	t.Parallel()
	e := startShared(t)
	js, err := jetstream.New(connect(t, Options{URL: e.URL()}))
	must(t, err)
	before := kept(t, js)
	denials := make(chan error, 10)
	nc, err := nats.Connect(e.ClientURL(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denials <- err }))
	must(t, err)
	defer nc.Close()
	isDenied := func(what string) {
		t.Helper()
		select {
		case err := <-denials:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s is not denied", what)
		}
	}

	targets := []string{
		"zoom.meeting.forged", "zoom._bridge.gap", "$KV.zoomstream.lease.s", "$KV.zoomstream-state.state.s",
		"$JS.API.STREAM.DELETE.ZOOM", "$JS.API.STREAM.PURGE.ZOOM", "$JS.API.STREAM.DELETE.KV_zoomstream",
		"zoomstream.zoomstream.presence", "zoomstream.zoomstream.replica.n", "_INBOX",
	}
	for _, subject := range append(targets, "$JS.API.STREAM.UPDATE.ZOOM", "$JS.API.STREAM.CREATE.OTHER", "$JS.API.STREAM.MSG.DELETE.ZOOM",
		"$JS.API.STREAM.SNAPSHOT.ZOOM", "$JS.API.CONSUMER.CREATE.KV_zoomstream.x", "_INBOX.somebodys", "$SYS.REQ.SERVER.PING") {
		must(t, nc.Publish(subject, nil))
		isDenied("publishing " + subject)
	}
	for _, subject := range []string{">", "*.>", "$KV.>", "$JS.API.>", "$SRV.PING.zoomstream", "zoomstream.zoomstream.replica.n", "zoomstream.zoomstream.status"} {
		_, err := nc.SubscribeSync(subject)
		must(t, err)
		isDenied("subscribing " + subject)
	}
	stream, err := mustStream(t, nc)
	must(t, err)
	_, err = stream.CreateOrUpdateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "pull", FilterSubject: "zoom.never"})
	must(t, err)
	_, err = stream.CreatePushConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "push", DeliverSubject: nc.NewInbox()})
	must(t, err)
	for _, target := range targets {
		for _, request := range [][2]string{
			{"$JS.API.INFO", ""}, {"$JS.API.CONSUMER.MSG.NEXT.ZOOM.pull", `{"no_wait":true}`}, {"$JS.API.DIRECT.GET.ZOOM.zoom.meeting.started", ""},
			{"$JS.API.STREAM.INFO.ZOOM", ""}, {"zoomstream.zoomstream.status", ""},
		} {
			msg := &nats.Msg{Subject: request[0], Reply: target, Data: []byte(request[1])}
			must(t, nc.PublishMsg(msg))
			isDenied("an answer of " + request[0] + " to " + target)
			msg.Header = nats.Header{"A": {"b"}}
			must(t, nc.PublishMsg(msg))
			isDenied("an answer of " + request[0] + " with a header to " + target)
		}
		const config = `"deliver_subject":%q,"headers_only":true,"ack_policy":"none"`
		for subject, body := range map[string]string{
			"$JS.API.CONSUMER.CREATE.ZOOM":              `{"stream_name":"ZOOM","config":{` + config + `}}`,
			"$JS.API.CONSUMER.CREATE.ZOOM.x":            `{"stream_name":"ZOOM","config":{"name":"x",` + config + `}}`,
			"$JS.API.CONSUMER.CREATE.ZOOM.push":         `{"stream_name":"ZOOM","config":{"durable_name":"push",` + config + `}}`,
			"$JS.API.CONSUMER.CREATE.ZOOM.y.zoom.>":     `{"stream_name":"ZOOM","CONFIG":{"name":"y","filter_subject":"zoom.>",` + config + `}}`,
			"$JS.API.CONSUMER.DURABLE.CREATE.ZOOM.z":    `{"stream_name":"ZOOM","config":{},"config":{"durable_name":"z",` + config + `}}`,
			"$JS.API.CONSUMER.DURABLE.CREATE.ZOOM.push": `{"stream_name":"ZOOM","config":{"durable_name":"push",` + config + `}}`,
		} {
			must(t, nc.PublishRequest(subject, nc.NewInbox(), fmt.Appendf(nil, body, target)))
			isDenied("a consumer by " + subject + " that delivers to " + target)
		}
		trace := &nats.Msg{Subject: "$JS.API.INFO", Reply: nc.NewInbox(), Header: nats.Header{"Nats-Trace-Dest": {target}}}
		must(t, nc.PublishMsg(trace))
		isDenied("a trace to " + target)
	}
	for _, o := range []Options{{URL: e.URL()}, e.Inside(Options{})} { // where clients with the token wait for answers
		inbox := connect(t, o).NewInbox()
		must(t, nc.PublishRequest("$JS.API.CONSUMER.INFO.ZOOM.none", inbox, nil))
		isDenied("an error in place of an answer at " + inbox)
		_, err := nc.SubscribeSync(inbox)
		must(t, err)
		isDenied("subscribing " + inbox)
	}
	if after := kept(t, js); !reflect.DeepEqual(after, before) {
		t.Errorf("it has changed\n%v\nto\n%v", before, after)
	}
}

// TestAnonymousReachesNoInboxInside: answers to this process, such as acknowledgements, can be
// neither forged nor read.
func TestAnonymousReachesNoInboxInside(t *testing.T) {
	t.Parallel()
	e := startShared(t)
	inside := connect(t, e.Inside(Options{}))
	inbox := inside.NewInbox()
	answers := make(chan *nats.Msg, 10)
	_, err := inside.ChanSubscribe(inbox, answers)
	must(t, err)
	flush(t, inside)
	denials := make(chan error, 10)
	nc, err := nats.Connect(e.ClientURL(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denials <- err }))
	must(t, err)
	defer nc.Close()
	_, err = nc.SubscribeSync(inbox)
	must(t, err)
	must(t, nc.PublishRequest("$JS.API.INFO", inbox, nil))
	must(t, nc.PublishRequest("$JS.API.CONSUMER.CREATE.ZOOM.x", nc.NewInbox(),
		fmt.Appendf(nil, `{"stream_name":"ZOOM","config":{"name":"x","deliver_subject":%q,"ack_policy":"none"}}`, inbox)))
	for _, what := range []string{"subscribing", "an answer", "a consumer"} {
		select {
		case err := <-denials:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %v", what, err)
			}
		case msg := <-answers:
			t.Fatalf("the inbox gets %s", msg.Data)
		case <-time.After(5 * time.Second):
			t.Fatalf("%s is not denied", what)
		}
	}
}

func mustStream(t *testing.T, nc *nats.Conn) (jetstream.Stream, error) {
	t.Helper()
	js, err := jetstream.New(nc)
	must(t, err)
	return js.Stream(t.Context(), "ZOOM")
}

// kept returns what nobody may change without the token.
func kept(t *testing.T, js jetstream.JetStream) map[string]string {
	t.Helper()
	found := make(map[string]string)
	streams := js.ListStreams(t.Context())
	for info := range streams.Info() {
		found[info.Config.Name] = fmt.Sprintf("%+v, %d messages, the last is %d", info.Config, info.State.Msgs, info.State.LastSeq)
	}
	must(t, streams.Err())
	return found
}

// TestGateProtocol speaks the protocol without a client library.
func TestGateProtocol(t *testing.T) {
	t.Parallel()
	e := startReadable(t)
	const ended = ""
	for said, answer := range map[string]string{
		"CONNECT {\"verbose\":false}\r\nPING\r\n":                                        "PONG",
		"connect\t{}\r\nping\r\n":                                                        "-ERR 'Authorization Violation'",
		"connect {\"verbose\":false,\"user\":null,\"pass\":\"\"}\r\nping\n":              "PONG",
		"CONNECT {\"USER\":\"anonymous\"}\r\nPING\r\n":                                   "-ERR 'Authorization Violation'",
		"CONNECT {\"user\":\"zoomstream-embedded\",\"pass\":\"\"}\r\nPING\r\n":           "-ERR 'Authorization Violation'",
		"CONNECT {\"auth_token\":\"wrong\"}\r\nPING\r\n":                                 "-ERR 'Authorization Violation'",
		"CONNECT {\"jwt\":\"ey\"}\r\nPING\r\n":                                           "-ERR 'Authorization Violation'",
		"PUB $JS.API.INFO 0\r\n\r\n":                                                     "-ERR 'Authorization Violation'",
		"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nCONNECT {}\r\n":                       "-ERR 'Authorization Violation'",
		"CONNECT {\"verbose\":false}\r\npub $JS.API.INFO \t zoom.forged 0\r\n\r\n":       "-ERR 'Permissions Violation",
		"CONNECT {\"verbose\":false}\r\nPUB zoom.forged _INBOX.a 0\r\n\r\n":              "-ERR 'Permissions Violation",
		"CONNECT {\"verbose\":false}\r\nCONNECT {}\r\nPING\r\n":                          ended,
		"CONNECT {\"verbose\":false}\r\nPUB $JS.API.INFO 2000000\r\n":                    ended,
		"CONNECT {\"verbose\":false}\r\nPUB $JS.API.INFO -1\r\n\r\n":                     ended,
		"CONNECT {\"verbose\":false}\r\nPUB $JS.API.INFO 1\r\nabcPING\r\n":               ended,
		"CONNECT {\"verbose\":false}\r\nHPUB $JS.API.INFO 9 1\r\na\r\n":                  ended,
		"CONNECT {\"verbose\":false}\r\nPUB " + strings.Repeat("a", 5000) + " 0\r\n\r\n": ended,
	} {
		if got := saysRaw(t, e, said); answer == ended && got != ended || !strings.HasPrefix(got, answer) {
			t.Errorf("%.80q is answered by %q, not by %q", said, got, answer)
		}
	}
}

// saysRaw sends a text, and returns the first line of the answer after INFO; empty: the connection
// was closed.
func saysRaw(t *testing.T, e *Embedded, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.ClientURL(), "nats://"))
	must(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = conn.Write([]byte(text))
	must(t, err)
	for in := bufio.NewReader(conn); ; {
		line, err := in.ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%.80q is not answered", text)
		}
		if err != nil || !strings.HasPrefix(line, "INFO ") {
			return strings.TrimSpace(line)
		}
	}
}

// TestTokenIsKept: the token stays the same across restarts, and is created if an earlier version
// has left none.
func TestTokenIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(URLFile(dir), []byte("nats://127.0.0.1:4222\n"), 0o644))
	var token string
	for range 3 {
		log, logger := newLog()
		e, err := StartEmbedded(t.Context(), EmbeddedOptions{DataDir: dir, Addr: "127.0.0.1:0", Log: logger})
		must(t, err)
		url, runs := EmbeddedURL(dir, "")
		if url != e.URL() || !runs {
			t.Errorf("noted is %q, it runs: %v", url, runs)
		}
		if token == "" {
			token = tokenIn(url)
		}
		if len(token) < 20 || tokenIn(url) != token {
			t.Errorf("the token is %q, and was %q", tokenIn(url), token)
		}
		if info, err := os.Stat(URLFile(dir)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file: %v, %v", info, err)
		}
		files, err := os.ReadDir(dir)
		must(t, err)
		if len(files) != 4 { // nats, nats.lock, nats.pid, nats.url
			t.Errorf("the folder holds %v", files)
		}
		for _, o := range []Options{{URL: url}, {URL: e.ClientURL(), Token: token}, e.Inside(Options{})} {
			err := AwaitJetStream(t.Context(), natstest.JetStream(t, connect(t, o)), zerolog.Nop())
			must(t, err)
		}
		for _, o := range []Options{{URL: e.ClientURL()}, {URL: e.ClientURL(), Token: "wrong"}, {URL: withToken(e.ClientURL(), "")}} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err := ConnectNow(ctx, o)
			cancel()
			if u, ok := errors.AsType[*Unreachable](err); !ok || !u.Refused {
				t.Errorf("without readers, and without the token: %v", err)
			}
		}
		e.Shutdown()
		if strings.Contains(log.String(), token) {
			t.Errorf("the token is logged:\n%s", log)
		}
	}
}

// TestLoginOfTheURLIsTakenAnew: the server comes back with another token. The login comes from the
// file of NATS_URL, which has the new one.
func TestLoginOfTheURLIsTakenAnew(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]func(address, secret string) string{
		"user and password": withToken,
		"bare token":        func(address, secret string) string { return strings.Replace(address, "://", "://"+secret+"@", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := func(port int, secret string) *server.Options {
				if name == "bare token" {
					return &server.Options{Port: port, Authorization: secret}
				}
				return &server.Options{Port: port, Username: embeddedUser, Password: secret}
			}
			first := runServer(t, opts(0, "geheim-1"))
			var now atomic.Value
			now.Store(with(first.ClientURL(), "geheim-1"))
			log, logger := newLog()
			nc := connect(t, Options{URL: now.Load().(string), Log: logger, Secrets: func() Secrets { return Secrets{URL: now.Load().(string)} }})
			port := first.Addr().(*net.TCPAddr).Port
			first.Shutdown()
			first.WaitForShutdown()
			runServer(t, opts(port, "geheim-2"))
			log.await(t, "authorization violation")
			now.Store(with(first.ClientURL(), "geheim-2"))
			log.await(t, "NATS connection is back")
			if !nc.IsConnected() || strings.Contains(log.String(), "geheim") {
				t.Errorf("connected: %v, log:\n%s", nc.IsConnected(), log)
			}
		})
	}
}
