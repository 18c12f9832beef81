package natsconn

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

const password = "geheim"

// user is a user's connection, and what the server has denied it.
type user struct {
	*nats.Conn
	t      *testing.T
	mu     sync.Mutex
	denied []string
}

func as(t *testing.T, srv *server.Server, name string, more ...nats.Option) *user {
	t.Helper()
	u := &user{t: t}
	nc, err := nats.Connect(srv.ClientURL(), append(more, nats.UserInfo(name, password), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.denied = append(u.denied, err.Error())
	}))...)
	must(t, err)
	t.Cleanup(nc.Close)
	u.Conn = nc
	return u
}

// denials returns the denials so far.
func (u *user) denials() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return strings.Join(u.denied, "\n")
}

// lacksNothing checks that the server has denied nothing so far. Another goroutine reports denials,
// so it first waits for one that it causes itself.
func (u *user) lacksNothing() {
	u.t.Helper()
	u.mayNotPublish("elsewhere")
	if text := u.denials(); strings.Contains(text, "\n") {
		u.t.Errorf("a right is missing: %s", text)
	}
}

// mayNotPublish checks that the server denies publishing.
func (u *user) mayNotPublish(subjects ...string) {
	u.t.Helper()
	for _, subject := range subjects {
		must(u.t, u.Publish(subject, nil))
		u.awaitDenial(`Publish to "` + subject + `"`)
	}
}

func (u *user) awaitDenial(of string) {
	u.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(u.denials(), "Permissions Violation for "+of); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			u.t.Fatalf("it may %s (%s)", of, u.denials())
		}
	}
}

func (u *user) jetstream() jetstream.JetStream {
	u.t.Helper()
	return natstest.JetStream(u.t, u.Conn)
}

// TestRoles: each user of nats.conf has the rights for its work, and no others.
func TestRoles(t *testing.T) {
	if conf, err := os.ReadFile(confFile); err != nil || !strings.Contains(string(conf), `sed -i 's/^#://' nats.conf`) {
		t.Errorf("nats.conf no longer says how its users are switched on (%v)", err)
	}
	srv := runServer(t, natstest.UsersConf(t, confFile, password))
	if _, err := nats.Connect(srv.ClientURL()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("somebody without a name gets %v", err)
	}

	connector := as(t, srv, "zoomstream")
	likeTheConnector(t, connector.Conn)
	connector.lacksNothing()
	connector.mayNotPublish("elsewhere", "$JS.API.STREAM.DELETE.ZOOM", "$JS.API.STREAM.UPDATE.ZOOM", "$JS.API.STREAM.PURGE.ZOOM", "$JS.API.STREAM.CREATE.OTHER", "$KV.other.key", "$SYS.REQ.SERVER.PING")

	reader := as(t, srv, "reader")
	likeAReader(t, reader.Conn)
	likeOtherClients(t, reader.Conn)
	reader.lacksNothing()
	reader.mayNotPublish("zoom.forged", "$KV.zoomstream.lease.s", "$JS.API.STREAM.DELETE.ZOOM")

	operator := as(t, srv, "operator")
	likeAnOperator(t, operator)
	operator.lacksNothing()
	operator.mayNotPublish("zoom.forged", "zoomstream.zoomstream.presence")

	team := as(t, srv, "billing", nats.CustomInboxPrefix("_INBOX_billing"))
	consumer, err := team.jetstream().CreateOrUpdateConsumer(t.Context(), "ZOOM", jetstream.ConsumerConfig{Durable: "billing", FilterSubject: "zoom.meeting.>"})
	must(t, err)
	readOne(t, consumer)
	team.lacksNothing()
	team.mayNotPublish("zoom.forged", "$JS.API.CONSUMER.CREATE.ZOOM.billing.zoom.recording.>", "$JS.API.CONSUMER.CREATE.ZOOM.billing", "$JS.API.CONSUMER.DURABLE.CREATE.ZOOM.billing",
		"$JS.API.CONSUMER.DELETE.ZOOM.other", "$JS.API.CONSUMER.MSG.NEXT.ZOOM.other", "$JS.API.STREAM.MSG.GET.ZOOM", "$JS.API.DIRECT.GET.ZOOM")
	forged, err := team.Request("$JS.API.CONSUMER.CREATE.ZOOM.billing.zoom.meeting.>", []byte(`{"stream_name":"ZOOM","config":{"name":"billing","durable_name":"billing","filter_subject":"zoom.>","ack_policy":"explicit"}}`), 5*time.Second)
	if err != nil || !strings.Contains(string(forged.Data), `"err_code"`) {
		t.Errorf("a filter that is wider than its subject is taken: %s (%v)", forged.Data, err)
	}
	for _, subject := range []string{"zoom.>", "_INBOX.>"} {
		_, err := team.SubscribeSync(subject)
		must(t, err)
		team.awaitDenial(`Subscription to "` + subject + `"`)
	}

	request(t, as(t, srv, "sys").Conn, "$SYS.REQ.SERVER.PING", "")
}

// likeOtherClients sends the requests of the nats tool and of the official clients for Node and
// Python.
func likeOtherClients(t *testing.T, nc *nats.Conn) {
	t.Helper()
	_, err := nc.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.*.ZOOM.>")
	must(t, err)
	for _, ask := range []struct{ subject, body string }{
		{"$JS.API.STREAM.NAMES", `{"subject":"zoom.>"}`}, {"$JS.API.STREAM.LIST", ""}, {"$JS.API.CONSUMER.NAMES.ZOOM", ""}, {"$JS.API.CONSUMER.LIST.ZOOM", ""},
		{"$JS.API.CONSUMER.CREATE.ZOOM", `{"stream_name":"ZOOM","config":{"ack_policy":"none","inactive_threshold":5000000000}}`},
		{"$JS.API.CONSUMER.DURABLE.CREATE.ZOOM.two", `{"stream_name":"ZOOM","config":{"durable_name":"two","ack_policy":"explicit","filter_subjects":["zoom.meeting.>","zoom.user.>"]}}`},
		{"$JS.API.CONSUMER.DELETE.ZOOM.two", ""}, {"$JS.API.DIRECT.GET.ZOOM", `{"seq":1}`}, {"$JS.API.STREAM.MSG.GET.ZOOM", `{"seq":1}`},
	} {
		answer, err := nc.Request(ask.subject, []byte(ask.body), 5*time.Second)
		if err != nil || strings.Contains(string(answer.Data), `"error"`) {
			t.Errorf("%s: %v", ask.subject, err)
		}
	}
}

// likeAnOperator does what the runbook tells an operator to do with the nats tool.
func likeAnOperator(t *testing.T, u *user) {
	t.Helper()
	js, ctx := u.jetstream(), t.Context()
	for info := range js.ListStreams(ctx).Info() {
		if info.Config.Name == "ZOOM" {
			info.Config.MaxAge += time.Hour
			_, err := js.UpdateStream(ctx, info.Config)
			must(t, err)
		}
	}
	stream, err := js.Stream(ctx, "ZOOM")
	must(t, err)
	_, err = stream.GetMsg(ctx, 1)
	must(t, err)
	for range stream.ListConsumers(ctx).Info() {
	}
	states, err := js.KeyValue(ctx, "zoomstream-state")
	must(t, err)
	watch, err := states.WatchAll(ctx)
	must(t, err)
	<-watch.Updates()
	must(t, watch.Stop())
	must(t, states.Delete(ctx, "key0"))
	request(t, u.Conn, "$SRV.PING.zoomstream", "")
	for _, subject := range []string{"zoom.>", "$JS.EVENT.ADVISORY.>", "$KV.zoomstream-state.>"} {
		_, err := u.SubscribeSync(subject)
		must(t, err)
	}
}

func readOne(t *testing.T, consumer jetstream.Consumer) {
	t.Helper()
	msg, err := consumer.Next(jetstream.FetchMaxWait(5 * time.Second))
	must(t, err)
	must(t, msg.DoubleAck(t.Context()))
}

// TestAccounts: a team reads from its own account, and reaches nothing else in the other one.
func TestAccounts(t *testing.T) {
	srv := runServer(t, natstest.UsersConf(t, "../../nats-accounts.conf", password))
	connector := as(t, srv, "zoomstream")
	likeTheConnector(t, connector.Conn)
	operator := as(t, srv, "operator").jetstream()
	for name, filter := range map[string]string{"billing": "zoom.meeting.>", "other": "zoom.>"} {
		_, err := operator.CreateOrUpdateConsumer(t.Context(), "ZOOM", jetstream.ConsumerConfig{Durable: name, FilterSubject: filter})
		must(t, err)
	}
	before := lastSequence(t, operator)

	team := as(t, srv, "billing")
	live, err := team.SubscribeSync("zoom.>")
	must(t, err)
	js, err := jetstream.NewWithAPIPrefix(team.Conn, "JS.ZOOM.API")
	must(t, err)
	consumer, err := js.Consumer(t.Context(), "ZOOM", "billing")
	must(t, err)
	readOne(t, consumer)

	for _, what := range []string{
		"CONSUMER.DELETE.ZOOM.other", "CONSUMER.MSG.NEXT.ZOOM.other", "CONSUMER.CREATE.ZOOM.billing.zoom.recording.>", "STREAM.INFO.ZOOM", "STREAM.MSG.GET.ZOOM",
	} {
		if _, err := team.Request("JS.ZOOM.API."+what, nil, time.Second); !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("%s: %v", what, err)
		}
		if answer, err := team.Request("$JS.API."+what, nil, time.Second); err != nil && !errors.Is(err, nats.ErrNoResponders) || err == nil && !strings.Contains(string(answer.Data), `"err_code":10039`) {
			t.Errorf("%s: %v %v", what, answer, err) // an error that the account has no JetStream
		}
	}
	must(t, team.Publish("zoom.meeting.forged", nil))
	must(t, team.PublishRequest("JS.ZOOM.API.CONSUMER.INFO.ZOOM.billing", "zoom.meeting.forged", nil))
	flush(t, team.Conn)
	readOne(t, consumer) // by now the server has handled both
	if after := lastSequence(t, operator); after != before {
		t.Errorf("the team has stored %d messages", after-before)
	}

	must(t, connector.Publish("zoom.recording.completed", nil))
	must(t, connector.Publish("zoom.meeting.started", nil))
	for {
		msg, err := live.NextMsg(5 * time.Second)
		must(t, err)
		if msg.Subject == "zoom.meeting.started" {
			break
		}
		if msg.Subject != "zoom.meeting.forged" { // the team's own message
			t.Errorf("it hears %s", msg.Subject)
		}
	}
}

func lastSequence(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	stream, err := js.Stream(t.Context(), "ZOOM")
	must(t, err)
	return stream.CachedInfo().State.LastSeq
}
