package doctor

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

const subscription = "sub-1"

// world is a simulated Zoom and a real nats-server from nats.conf, with its users.
type world struct {
	t       *testing.T
	sim     *zoomsim.Sim
	web     *httptest.Server
	nats    *server.Server
	environ []string
	port    int                 // where a connector's embedded NATS would listen
	js      jetstream.JetStream // of a user with all rights
	nc      *nats.Conn
}

// newWorld starts both. change may change the options of nats-server.
func newWorld(t *testing.T, change ...func(*server.Options)) *world {
	t.Helper()
	w := &world{t: t, port: natstest.Port(t), sim: zoomsim.New(zoomsim.Options{ClientID: "client-must-not-leak", ClientSecret: "secret-must-not-leak", AccountID: "account-must-not-leak"})}
	w.web = httptest.NewServer(w.sim.Handler())
	t.Cleanup(func() { w.sim.Close(); w.web.Close() })

	options := confWithUsers(t)
	options.Users = append(options.Users, &server.User{Username: "all", Password: "all"})
	for _, f := range change {
		f(options)
	}
	w.nats = natstest.Start(t, options)
	var err error
	if w.nc, err = nats.Connect(w.nats.ClientURL(), nats.UserInfo("all", "all")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.nc.Close)
	w.js = natstest.JetStream(t, w.nc)
	w.environ = []string{
		"ZOOM_CLIENT_ID=client-must-not-leak", "ZOOM_CLIENT_SECRET=secret-must-not-leak", "ZOOM_ACCOUNT_ID=account-must-not-leak",
		"ZOOM_OAUTH_URL=" + w.web.URL + "/oauth/token",
		"ZOOM_WEBSOCKET_URL=ws" + strings.TrimPrefix(w.web.URL, "http") + "/ws?subscriptionId=" + subscription + "&access_token=pasted-must-not-leak",
		"NATS_URL=" + w.nats.ClientURL(), "NATS_USER=zoomstream", "NATS_PASSWORD=geheim-must-not-leak",
		"ZOOMSTREAM_DATA_DIR=" + t.TempDir(), "ZOOMSTREAM_SPOOL_MAX=16MiB", "ZOOMSTREAM_REPLICA=here",
	}
	return w
}

// confWithUsers returns nats.conf with its users switched on.
func confWithUsers(t *testing.T) *server.Options {
	t.Helper()
	return natstest.UsersConf(t, "../../../nats.conf", "geheim-must-not-leak")
}

// connector returns the connector's user in nats.conf.
func connector(o *server.Options) *server.User {
	return o.Users[slices.IndexFunc(o.Users, func(u *server.User) bool { return u.Username == "zoomstream" })]
}

// stream creates the stream like run.
func (w *world) stream() {
	w.t.Helper()
	_, err := w.js.CreateStream(w.t.Context(), jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: time.Hour})
	must(w.t, err)
}

// run runs doctor with settings that replace the world's. It fails the test if a check shows a
// secret or has no advice.
func (w *world) run(settings ...string) report {
	w.t.Helper()
	return w.connect(false, settings...)
}

func (w *world) connect(connect bool, settings ...string) report {
	w.t.Helper()
	o := w.options(settings...)
	o.Connect = connect
	var told []Check
	o.Each = func(c Check) { told = append(told, c) }
	r := report{w.t, Run(w.t.Context(), o)}
	if !slices.Equal(told, r.Checks) {
		w.t.Error("not all checks were told of as they were done")
	}
	for _, c := range r.Checks {
		if text := c.Detail + c.Fix; strings.Contains(text, "must-not-leak") || strings.Contains(text, "eyJ") || strings.ContainsAny(text, "\n\x1b") {
			w.t.Errorf("%s: %q", c.Check, text)
		}
		if c.Detail == "" || c.Fix == "" && (c.Result == Warn || c.Result == Fail) {
			w.t.Errorf("%s: %s without a fix: %q", c.Check, c.Result, c.Detail)
		}
	}
	return r
}

func (w *world) options(settings ...string) (o Options) {
	environ := append(slices.Clone(w.environ), fmt.Sprintf("ZOOMSTREAM_NATS_ADDR=127.0.0.1:%d", w.port))
	for _, s := range settings {
		name, _, _ := strings.Cut(s, "=")
		environ = append(slices.DeleteFunc(environ, func(e string) bool { return strings.HasPrefix(e, name+"=") }), s)
	}
	if o.Config, o.Errors = config.Load(config.Settings{}, "", environ); o.Errors != nil {
		o.Config, _ = config.LoadWithoutZoom(config.Settings{}, "", environ)
	}
	return o
}

// exam returns a Run that has not begun.
func (w *world) exam() *exam {
	o := w.options()
	return &exam{o: o, cfg: o.Config, report: Report{Result: Pass}}
}

// report is a Report with checks for tests.
type report struct {
	t *testing.T
	Report
}

// has checks that there is a check with this code, this result and all the words.
func (r report) has(code Code, result Result, words ...string) {
	r.t.Helper()
	for _, c := range r.Checks {
		lacks := func(word string) bool { return !strings.Contains(c.Detail+" "+c.Fix, word) }
		if c.Check == code && c.Result == result && !slices.ContainsFunc(words, lacks) {
			return
		}
	}
	r.t.Errorf("no check %s with result %s and %q in:\n%s", code, result, words, r.text())
}

// fine checks that everything passed.
func (r report) fine() {
	r.t.Helper()
	if r.Result != Pass || r.Err() != nil {
		r.t.Errorf("result %s:\n%s", r.Result, r.text())
	}
}

// failed checks that something failed, and whether because of the configuration.
func (r report) failed(config bool) {
	r.t.Helper()
	failed, ok := r.Err().(*Failed)
	if !ok || r.Result != Fail || failed.Config != config {
		r.t.Errorf("error %#v, want one of the configuration: %v\n%s", r.Err(), config, r.text())
	}
}

func (r report) text() string {
	var b strings.Builder
	for _, c := range r.Checks {
		b.WriteString(string(c.Result) + " " + string(c.Check) + " " + c.Detail + " | " + c.Fix + "\n")
	}
	return b.String()
}

func without(p *server.SubjectPermission, subject string) {
	p.Allow = slices.DeleteFunc(p.Allow, func(s string) bool { return s == subject })
}
