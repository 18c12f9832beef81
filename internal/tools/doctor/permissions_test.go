//go:build !race

// Excluded under the race detector, which has the other tests: these start some thirty servers, one
// for each right.

package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/subjects"
)

// TestNeedsAreThoseOfTheConf: doctor tests exactly the rights that nats.conf grants.
func TestNeedsAreThoseOfTheConf(t *testing.T) {
	p := connector(confWithUsers(t)).Permissions
	granted := map[string][]string{"publish": p.Publish.Allow, "subscribe": p.Subscribe.Allow}
	for _, n := range needs(&config.Config{Prefix: "zoom", SubjectKeys: subjects.Keys{Object: true}, Stream: "ZOOM", Bucket: "zoomstream"}, place{"$JS.API.", "$KV.", "_INBOX"}, "n") {
		if i := slices.Index(granted[n.right], n.subject); i < 0 {
			t.Errorf("nats.conf does not let the connector %s %s", n.right, n.subject)
		} else {
			granted[n.right] = slices.Delete(granted[n.right], i, i+1)
		}
	}
	for right, left := range granted {
		if len(left) > 0 {
			t.Errorf("nobody checks that the connector may %s %q", right, left)
		}
	}
	if p.Response == nil {
		t.Error("nats.conf does not let the connector answer")
	}
}

// TestEachMissingRightIsNamed takes the rights of nats.conf away, one at a time. The stream and the
// buckets exist, so the rights to create them are not needed.
func TestEachMissingRightIsNamed(t *testing.T) {
	for _, n := range needs(&config.Config{Prefix: "zoom", SubjectKeys: subjects.Keys{Object: true}, Stream: "ZOOM", Bucket: "zoomstream"}, place{"$JS.API.", "$KV.", "_INBOX"}, "n") {
		t.Run(n.right+" "+n.subject, func(t *testing.T) {
			problem := "may not " + n.right + " \"" + n.subject + `"`
			if n.weight == creating {
				problem = "may not publish " + n.subject
			}
			onlyMissing(t, map[weight]Result{vital: Fail, comfort: Warn, creating: Pass}[n.weight], problem, func(p *server.Permissions) {
				if n.right == "publish" {
					without(p.Publish, n.subject)
				} else {
					without(p.Subscribe, n.subject)
				}
			})
		})
	}
	t.Run("answer", func(t *testing.T) {
		onlyMissing(t, Fail, "may not answer requests (allow_responses)", func(p *server.Permissions) { p.Response = nil })
	})
	t.Run("flow control", func(t *testing.T) {
		onlyMissing(t, Fail, "may not answer requests (allow_responses)", func(p *server.Permissions) {
			p.Response = nil
			p.Publish.Allow = append(p.Publish.Allow, "_INBOX.>")
		})
	})
}

func onlyMissing(t *testing.T, result Result, problem string, take func(*server.Permissions)) {
	t.Helper()
	began := time.Now()
	w := newWorld(t, func(o *server.Options) { take(connector(o).Permissions) })
	w.buckets()
	w.stream()
	r := w.run("ZOOMSTREAM_SUBJECT_KEY=object") // needs one more right
	if result == Fail {
		r.failed(true)
	} else if r.Result != result {
		t.Errorf("result %s, want %s", r.Result, result)
	}
	var named []string
	for _, c := range r.Checks {
		if c.Check == Permissions && c.Result != Skip {
			named = append(named, c.Detail)
		}
		if c.Check != Permissions && c.Result == Fail {
			t.Errorf("it also fails at %s: %s", c.Check, c.Detail)
		}
	}
	if len(named) != 1 || !strings.Contains(named[0], problem) {
		t.Errorf("want the one line %q, got\n%s", problem, strings.Join(named, "\n"))
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestRightsByOtherWords has all needed rights, in a different form from that of nats.conf.
func TestRightsByOtherWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *server.Options) {
		p := connector(o).Permissions
		p.Response = nil
		p.Publish.Allow = []string{"zoom.>", "zoomstream.zoomstream.>", "$KV.>", "$JS.API.>", "$JS.FC.>", "_INBOX.>"}
		p.Subscribe.Allow = []string{">"}
	})
	r := w.run()
	r.fine()
	r.has(Permissions, Pass, "all 32 required permissions")
}

// TestOneEventDenied: if a single subject below a prefix is denied, it is named.
func TestOneEventDenied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *server.Options) {
		connector(o).Permissions.Publish.Deny = []string{"zoom._bridge.alarm"}
	})
	w.buckets()
	r := w.run()
	r.failed(true)
	r.has(Permissions, Fail, `may not publish "zoom.>" (denied: zoom._bridge.alarm)`)
}

// TestNothingIsPublished: testing rights publishes nothing but requests and traces.
func TestNothingIsPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var heard []string
	all, err := w.nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	w.run().fine()
	if err := w.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		msg, err := all.NextMsg(200 * time.Millisecond)
		if err != nil {
			break
		}
		heard = append(heard, msg.Subject)
		// The rest are requests that doctor needs answered, and its traces.
		for _, wanted := range []string{"_INBOX.", "zoomstream.zoomstream.", "$JS.API.INFO", "$JS.API.STREAM.INFO.", "$JS.API.STREAM.NAMES", "$JS.EVENT.ADVISORY.API"} {
			if strings.HasPrefix(msg.Subject, wanted) && !(strings.HasPrefix(msg.Subject, "$JS.EVENT.") && strings.Contains(string(msg.Data), ".CREATE")) {
				msg = nil
				break
			}
		}
		if msg != nil {
			t.Errorf("%s: %q", msg.Subject, msg.Data)
		}
	}
	if len(heard) == 0 {
		t.Error("the listener is deaf")
	}
	names := w.js.StreamNames(t.Context())
	for name := range names.Name() {
		t.Errorf("stream %s was created", name)
	}
}

// TestUserRefused has credentials that the server does not know.
func TestUserRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buckets()
	r := w.run("NATS_PASSWORD=wrong-must-not-leak")
	r.failed(true)
	r.has(Server, Fail, "authorization violation", "NATS_USER and NATS_PASSWORD")
	r.has(Connection, Warn, "--connect")
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run("NATS_URL=nats://127.0.0.1:1")
	r.failed(false)
	r.has(Server, Fail, "connection refused", "nats-server listens there")
	if n := w.sim.Summary(subscription).Sockets; n != 0 {
		t.Errorf("%d connections to Zoom, and nobody could be asked", n)
	}
	r = w.connect(true, "NATS_URL=nats://127.0.0.1:1")
	r.has(Heartbeat, Pass, "answered")
}

func TestWithoutJetStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withoutJetStream)
	r := w.run()
	r.failed(false)
	r.has(JetStream, Fail, "enable JetStream")
}

func TestOlder(t *testing.T) {
	for version, want := range map[string]bool{"2.10.22": true, "2.11.0": false, "2.9": true, "3.0.0": false, "2.12.1-RC.1": false, "1": true, "": true, "dev": false} {
		if older(version, 2, 11) != want {
			t.Errorf("%q", version)
		}
	}
}
