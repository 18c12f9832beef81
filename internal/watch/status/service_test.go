package status

import (
	"encoding/json"
	"math"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// all sends a request, and returns the answers until none has come for 300 ms.
func all(t *testing.T, nc *nats.Conn, subject, body string) (answers []*nats.Msg) {
	t.Helper()
	sub, err := nc.SubscribeSync(nc.NewInbox())
	must(t, err)
	defer sub.Unsubscribe() //nolint:errcheck // the test ends
	must(t, nc.PublishRequest(subject, sub.Subject, []byte(body)))
	for {
		msg, err := sub.NextMsg(300 * time.Millisecond)
		if err != nil || unanswered(msg) {
			return answers
		}
		answers = append(answers, msg)
	}
}

// TestMicro: tools for NATS micro services find each replica.
func TestMicro(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c"} {
		w.serve(w.connect(), made(name))
	}
	nc := w.connect()
	for subject, kind := range map[string]string{
		"$SRV.PING.zoomstream": micro.PingResponseType, "$SRV.INFO.zoomstream": micro.InfoResponseType,
		"$SRV.STATS.zoomstream": micro.StatsResponseType, "$SRV.PING": micro.PingResponseType,
	} {
		var names []string
		for _, msg := range all(t, nc, subject, "") {
			var info micro.Info
			must(t, json.Unmarshal(msg.Data, &info))
			names = append(names, info.Metadata["replica"])
			if info.Type != kind || info.Name != "zoomstream" || info.Version != "1.2.3" || info.Metadata["version"] != "v1.2.3" ||
				info.Metadata["bucket"] != bucket || info.Metadata["nonce"] != nonce(info.Metadata["replica"]) {
				t.Errorf("%s is answered with %s", subject, msg.Data)
			}
			if kind == micro.InfoResponseType && (len(info.Endpoints) != 2 || info.Endpoints[0].Name != "status" ||
				info.Endpoints[0].Subject != "zoomstream.zoomstream.status" || info.Endpoints[0].QueueGroup != "" || info.Endpoints[1].Subject != "zoomstream.zoomstream.seen") {
				t.Errorf("its endpoints are %+v", info.Endpoints)
			}
		}
		if slices.Sort(names); !slices.Equal(names, []string{"a", "b", "c"}) {
			t.Errorf("%s is answered by %q", subject, names)
		}
	}
}

func TestVersions(t *testing.T) {
	w := newWorld(t)
	for version, semantic := range map[string]string{
		"v1.2.3": "1.2.3", "0.3.0-5-gabc1234-dirty": "0.3.0-5-gabc1234-dirty", "dev": "0.0.0", "": "0.0.0", "v1.2": "0.0.0",
	} {
		r := made("a")
		r.Version = version
		stop := w.serve(w.connect(), r)
		var info micro.Info
		must(t, json.Unmarshal(all(t, w.connect(), "$SRV.INFO.zoomstream", "")[0].Data, &info))
		if info.Version != semantic || info.Metadata["version"] != version {
			t.Errorf("version %q is %q, metadata %q; want %q", version, info.Version, info.Metadata["version"], semantic)
		}
		stop()
	}
}

func TestRequests(t *testing.T) {
	w := newWorld(t)
	r := made("a", leads("sub-1", "a", 1))
	r.Subscriptions[0].History = []Sample{{Rate: 7}}
	w.serve(w.connect(), r)
	nc := w.connect()
	for _, c := range []struct{ subject, body, want string }{
		{"status", ``, `"subscription":"sub-1"`},
		{"status", `{}`, `"others":[]`},
		{"status", `{"history":true}`, `"events_per_second":7`},
		{"seen", `{"ids":["x","y"]}`, `{"replica":"a","seen":[{"id":"x","times":2,"where":"local","first":"`},
		{"seen", `{"ids":[]}`, `{"replica":"a","seen":[]}`},
		{"seen", ``, `{"replica":"a","seen":[]}`},
	} {
		msg, err := nc.Request("zoomstream.zoomstream."+c.subject, []byte(c.body), 5*time.Second)
		must(t, err)
		if !strings.Contains(string(msg.Data), c.want) {
			t.Errorf("%s %s: the answer is %s, without %s", c.subject, c.body, msg.Data, c.want)
		}
	}
	for _, subject := range []string{"status", "seen"} {
		msg, err := nc.Request("zoomstream.zoomstream."+subject, []byte(`{`), 5*time.Second)
		must(t, err)
		if msg.Header.Get(micro.ErrorCodeHeader) != "400" {
			t.Errorf("%s: nonsense is answered with %v %s", subject, msg.Header, msg.Data)
		}
	}
}

// TestPoorAnswers: a replica that has nothing to report yet says so. If an answer cannot be
// encoded, the replica says that, and goes on.
func TestPoorAnswers(t *testing.T) {
	w := newWorld(t)
	var next atomic.Pointer[Replica]
	failures := make(chan error, 1)
	own := w.connect()
	stop, err := Serve(own, ServiceOptions{
		Bucket: bucket, Replica: "a", Nonce: "n", Status: func(bool) *Replica { return next.Load() },
		Seen: func([]string) []Seen { return nil }, ErrorHandler: func(err error) { failures <- err },
	})
	must(t, err)
	defer stop()
	must(t, own.Flush()) // the server knows the subscriptions by now
	nc := w.connect()
	msg, err := nc.Request(statusSubject(bucket), nil, 5*time.Second)
	must(t, err)
	if text := string(msg.Data); !strings.Contains(text, `"phase":"starting"`) || !strings.Contains(text, `"nonce":"n"`) {
		t.Errorf("with nothing to say it says %s", text)
	}
	next.Store(&Replica{Subscriptions: []Subscription{{Rate: math.NaN()}}})
	msg, err = nc.Request(statusSubject(bucket), nil, 5*time.Second)
	must(t, err)
	if msg.Header.Get(micro.ErrorCodeHeader) != "500" {
		t.Errorf("it is answered with %v %s", msg.Header, msg.Data)
	}
	if err := <-failures; !strings.Contains(err.Error(), "NaN") {
		t.Errorf("the failure is %v", err)
	}
}

// TestHandlersOfTheConnection: the connection's own handlers are still called while the service
// runs, and are back in place after its stop.
func TestHandlersOfTheConnection(t *testing.T) {
	w := newWorld(t)
	var heard errorsOf
	closed := make(chan struct{}, 2)
	nc := w.connect(nats.ErrorHandler(heard.handle), nats.ClosedHandler(func(*nats.Conn) { closed <- struct{}{} }))
	place := func() [2]uintptr {
		return [2]uintptr{reflect.ValueOf(nc.ErrorHandler()).Pointer(), reflect.ValueOf(nc.ClosedHandler()).Pointer()}
	}
	own := place()
	stop := w.serve(nc, made("a"))
	told := func() int {
		before := heard.are(nats.ErrTimeout)
		nc.ErrorHandler()(nc, nil, nats.ErrTimeout)
		return heard.are(nats.ErrTimeout) - before
	}
	if told() != 1 {
		t.Error("while it serves, the connection's error handler is not told once")
	}
	stop()
	stop() // a second stop does no harm
	if place() != own {
		t.Error("after the stop, the connection's handlers are not its own")
	}
	if err := nc.Flush(); err != nil { // by now the server knows of the stop
		t.Fatal(err)
	}
	if answers := all(t, w.connect(), "$SRV.PING.zoomstream", ""); len(answers) != 0 {
		t.Error("it answers after the stop")
	}
	again := w.serve(nc, made("a"))
	natstest.Stop(w.srv)
	nc.Close()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the closed handler was not called")
	}
	again()
}

// TestStopAfterClose: with natsconn's options, our own Close calls no handler. Stopping the service
// still works.
func TestStopAfterClose(t *testing.T) {
	w := newWorld(t)
	nc := w.connect(nats.NoCallbacksAfterClientClose())
	stop := w.serve(nc, made("a"))
	nc.Close()
	stop()
}

// TestStopWaits: after stop has returned, the replica is not asked any more.
func TestStopWaits(t *testing.T) {
	w := newWorld(t)
	var gone atomic.Bool
	var asked atomic.Int64
	o := options(t, made("a"))
	o.Status = func(bool) *Replica {
		asked.Add(1)
		time.Sleep(time.Millisecond)
		if gone.Load() {
			t.Error("it is asked after its stop")
		}
		return made("a")
	}
	own := w.connect()
	stop, err := Serve(own, o)
	must(t, err)
	must(t, own.Flush())
	nc := w.connect()
	for range 100 {
		must(t, nc.PublishRequest(statusSubject(bucket), "nobody", nil))
	}
	eventually(t, "it is asked", func() bool { return asked.Load() > 3 })
	stop()
	gone.Store(true)
	must(t, nc.Flush())
	time.Sleep(50 * time.Millisecond)
}

// TestReconnect: replicas still answer after a restart of the NATS server.
func TestReconnect(t *testing.T) {
	dir := t.TempDir()
	w := &world{t: t, srv: natstest.Run(t, dir, -1)}
	port := w.srv.Addr().(*net.TCPAddr).Port
	forever := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(10 * time.Millisecond), nats.ReconnectBufSize(-1)}
	replica, asker := w.connect(forever...), w.connect(forever...)
	w.serve(replica, made("a", leads("sub-1", "a", 1)))
	natstest.Stop(w.srv)
	eventually(t, "the connections are lost", func() bool { return !replica.IsConnected() && !asker.IsConnected() })
	natstest.Run(t, dir, port)
	eventually(t, "the connections are back", func() bool { return replica.IsConnected() && asker.IsConnected() })
	eventually(t, "it answers again", func() bool {
		o, err := Ask(t.Context(), natstest.JetStream(t, asker), AskOptions{Bucket: bucket})
		return err == nil && o.Verdict() == nil
	})
}

// TestPermissions: with the users of nats.conf, the connector may answer every question, and the
// reader may ask.
func TestPermissions(t *testing.T) {
	w := &world{t: t, srv: natstest.Start(t, withUsers(t))}
	var heard errorsOf
	connector := w.connect(nats.UserInfo("zoomstream", "geheim"), nats.ErrorHandler(heard.handle))
	js, err := jetstream.New(connector)
	must(t, err)
	w.js = js
	w.buckets()
	w.lease("sub-0", "a", 1)
	w.lease("sub-1", "dead", 2)
	w.state("sub-0", "a", "connected", time.Now())
	w.state("sub-1", "dead", "connected", time.Now())
	w.serve(connector, made("a", leads("sub-0", "a", 1), standsBy("sub-1", "dead", 2)))

	o, _ := w.ask(connector, AskOptions{Wait: 200 * time.Millisecond})
	want := []string{
		`sub-0: leader "a" epoch 1 state "connected" answered true from "a" standbys []`,
		`sub-1: leader "dead" epoch 2 state "connected" answered false from "" standbys [a]`,
		`replica a: answered true heard false leads 1 stands by 1`,
		`replica dead: answered false heard true leads 1 stands by 0`,
	}
	wantLines(t, o, want...)
	if n := heard.are(nats.ErrPermissionViolation); n != 0 {
		t.Errorf("the connector lacks rights: %v", heard.all)
	}

	reader := w.connect(nats.UserInfo("reader", "geheim"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	o, _ = w.ask(reader, AskOptions{Wait: 200 * time.Millisecond})
	wantLines(t, o, want...)
	if len(o.Notes) != 0 {
		t.Errorf("the reader lacks rights: %q", o.Notes)
	}
}

// TestRefusedQuestion: a user who may read the buckets but not ask is told so at once, each time.
func TestRefusedQuestion(t *testing.T) {
	options := withUsers(t)
	for _, u := range options.Users {
		if u.Username == "reader" {
			u.Permissions.Publish.Deny = append(u.Permissions.Publish.Deny, "zoomstream.*.status")
		}
	}
	w := &world{t: t, srv: natstest.Start(t, options)}
	connector := w.connect(nats.UserInfo("zoomstream", "geheim"))
	js, err := jetstream.New(connector)
	must(t, err)
	w.js = js
	w.buckets()
	w.lease("sub-0", "a", 1)
	w.state("sub-0", "a", "connected", time.Now())
	w.serve(connector, made("a", leads("sub-0", "a", 1)))
	reader := w.connect(nats.UserInfo("reader", "geheim"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	for range 2 {
		o, took := w.ask(reader, AskOptions{Wait: 30 * time.Second})
		if took > 10*time.Second {
			t.Errorf("it waited %s for what is refused", took)
		}
		wantNote(t, o, "this NATS user may not publish to zoomstream.zoomstream.status")
		wantLines(t, o,
			`sub-0: leader "a" epoch 1 state "connected" answered false from "" standbys []`,
			`replica a: answered false heard true leads 1 stands by 0`,
		)
	}
}

// withUsers returns nats.conf with its users switched on.
func withUsers(t *testing.T) *server.Options {
	t.Helper()
	return natstest.UsersConf(t, "../../../nats.conf", "geheim")
}

// TestMissingPermissions: without the rights that it needs, the connector's connection stays open,
// logs what is missing, and still answers what it may.
func TestMissingPermissions(t *testing.T) {
	options := &server.Options{Host: "127.0.0.1", Port: -1, Users: []*server.User{
		{Username: "all", Password: "x"},
		{Username: "poor", Password: "x", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"zoomstream.zoomstream.seen"}},
		}},
	}}
	w := &world{t: t, srv: natstest.Start(t, options)}
	log := new(logged)
	js, err := natsconn.Connect(t.Context(), natsconn.Options{URL: w.srv.ClientURL(), User: "poor", Password: "x", Log: zerolog.New(log)})
	must(t, err)
	poor := js.Conn()
	defer poor.Close()
	stop := w.serve(poor, made("a"))
	eventually(t, "its subjects are refused", func() bool { return log.with("NATS denies a subject to this user") == 10 })
	nc := w.connect(nats.UserInfo("all", "x"))
	_, err = nc.Request(SeenSubject(bucket), nil, 5*time.Second)
	must(t, err)
	if answers := all(t, nc, statusSubject(bucket), ""); len(answers) != 0 {
		t.Errorf("it gives %d answers", len(answers))
	}
	stop()
	if !poor.IsConnected() {
		t.Error("the connection did not outlive it")
	}
}
