package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	engine "github.com/zoomstream/zoomstream/internal/app"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/provision"
)

// verdict is what happens to a connector that is started.
type verdict string

const (
	connects verdict = "connects"
	refuses  verdict = "ends with exit code 78"
	waits    verdict = "waits for somebody to put it right"
	breaks   verdict = "ends otherwise"
)

// fate gets the verdict from the first line of a connector's log that shows it.
type fate chan verdict

func (f fate) Write(line []byte) (int, error) {
	for code, v := range map[string]verdict{`"zoom.connected"`: connects, `"nats.waiting"`: waits, `"nats.error"`: waits, `"stream.gone"`: waits} {
		if strings.Contains(string(line), code) {
			select {
			case f <- v:
			default:
			}
		}
	}
	return len(line), nil
}

// start runs the connector until its verdict is known.
func (w *world) start(settings ...string) (verdict, error) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	cfg := w.options(append(settings, "ZOOMSTREAM_HTTP_ADDR=off")...).Config
	told, done := make(fate, 1), make(chan error, 1)
	go func() { done <- engine.Run(ctx, engine.Options{Config: cfg, Log: zerolog.New(told)}) }()
	select {
	case v := <-told:
		cancel()
		return v, <-done
	case err := <-done:
		_, setting := errors.AsType[*natsconn.ConfigError](err)
		_, unfit := errors.AsType[*provision.StreamError](err)
		if setting || unfit {
			return refuses, err
		}
		return breaks, err
	}
}

// limit sets the account's limits.
func (w *world) limit(l server.JetStreamAccountLimits) {
	w.t.Helper()
	must(w.t, w.nats.GlobalAccount().UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"": l}))
}

func unlimited() server.JetStreamAccountLimits {
	return server.JetStreamAccountLimits{MaxMemory: -1, MaxStore: -1, MaxStreams: -1, MaxConsumers: -1}
}

// TestDoctorSaysWhatRunDoes: doctor foretells whether run connects, ends for good, or waits.
func TestDoctorSaysWhatRunDoes(t *testing.T) {
	t.Parallel()
	bounded := "ZOOMSTREAM_STREAM_MAX_BYTES=16MiB"
	mayNotCreate := func(o *server.Options) {
		for _, stream := range []string{"ZOOM", "KV_zoomstream", "KV_zoomstream-state"} {
			without(connector(o).Permissions.Publish, "$JS.API.STREAM.CREATE."+stream)
		}
		without(connector(o).Permissions.Publish, "$JS.API.STREAM.NAMES")
	}
	limits := func(change func(*server.JetStreamAccountLimits)) func(*world) {
		return func(w *world) {
			l := unlimited()
			change(&l)
			w.limit(l)
		}
	}
	ready := func(w *world) {
		w.buckets()
		w.stream()
	}
	edit := func(stream string, change func(*jetstream.StreamConfig)) func(*world) {
		return func(w *world) {
			ready(w)
			s, err := w.js.Stream(t.Context(), stream)
			must(t, err)
			c := s.CachedInfo().Config
			change(&c)
			_, err = w.js.UpdateStream(t.Context(), c)
			must(t, err)
		}
	}
	for name, c := range map[string]struct {
		options  func(*server.Options)
		prepare  func(*world)
		settings []string
		want     verdict
		words    string // text that both must contain
	}{
		"nothing is there":                {want: connects},
		"all was made beforehand":         {prepare: ready, want: connects},
		"all was made, and none may make": {options: mayNotCreate, prepare: ready, want: connects},
		"none may make what is missing":   {options: mayNotCreate, prepare: (*world).stream, want: waits},
		"no streams left":                 {prepare: limits(func(l *server.JetStreamAccountLimits) { l.MaxStreams = 2 }), want: refuses, words: "max_streams"},
		"just enough streams":             {prepare: limits(func(l *server.JetStreamAccountLimits) { l.MaxStreams = 3 }), want: connects},
		"no streams left, none needed": {prepare: func(w *world) {
			ready(w)
			limits(func(l *server.JetStreamAccountLimits) { l.MaxStreams = 3 })(w)
		}, want: connects},
		"a bound demanded":       {prepare: limits(func(l *server.JetStreamAccountLimits) { l.MaxBytesRequired = true }), want: refuses, words: "ZOOMSTREAM_STREAM_MAX_BYTES: this account requires a limit"},
		"a bound demanded, kept": {prepare: limits(func(l *server.JetStreamAccountLimits) { l.MaxBytesRequired = true }), settings: []string{bounded}, want: connects},
		"little storage, enough": {prepare: limits(func(l *server.JetStreamAccountLimits) { l.MaxStore = 64e6 }), settings: []string{bounded}, want: connects},
		"too little storage":     {prepare: limits(func(l *server.JetStreamAccountLimits) { l.MaxStore = 40e6 }), settings: []string{bounded}, want: refuses, words: "not have enough storage left"},
		"too large a stream":     {prepare: limits(func(l *server.JetStreamAccountLimits) { l.StoreMaxStreamBytes = 8 << 20 }), settings: []string{bounded}, want: refuses, words: "more than this account allows for a stream"},
		"small buckets only":     {prepare: limits(func(l *server.JetStreamAccountLimits) { l.StoreMaxStreamBytes = 1 << 20 }), want: connects},
		"no cluster":             {settings: []string{"ZOOMSTREAM_STREAM_REPLICAS=3"}, want: refuses, words: "need a cluster"},
		"subjects taken": {prepare: func(w *world) {
			_, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "THEIRS", Subjects: []string{"zoom.meeting.>"}})
			must(t, err)
		}, want: refuses, words: "already held by stream THEIRS"},
		"a stream that does not acknowledge": {prepare: edit("ZOOM", func(c *jetstream.StreamConfig) { c.NoAck = true }), want: refuses, words: "no_ack"},
		"a stream with one of each subject": {prepare: edit("ZOOM", func(c *jetstream.StreamConfig) {
			c.Discard, c.DiscardNewPerSubject, c.MaxMsgsPerSubject = jetstream.DiscardNew, true, 1
		}), want: refuses, words: "discard_new_per_subject"},
		"leases without a life": {prepare: func(w *world) {
			_, err := w.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "zoomstream"})
			must(t, err)
		}, want: refuses, words: "cannot hold leases"},
		"a sealed bucket of leases":        {prepare: edit("KV_zoomstream", func(c *jetstream.StreamConfig) { c.Sealed = true }), want: refuses, words: "is sealed"},
		"states that are not acknowledged": {prepare: edit("KV_zoomstream-state", func(c *jetstream.StreamConfig) { c.NoAck = true }), want: refuses, words: "no_ack"},
		"leases that cannot be replaced":   {prepare: edit("KV_zoomstream", func(c *jetstream.StreamConfig) { c.DiscardNewPerSubject = true }), want: refuses, words: "discard_new_per_subject"},
		"leases without room":              {prepare: edit("KV_zoomstream", func(c *jetstream.StreamConfig) { c.MaxBytes = 100 }), want: refuses, words: "max_bytes"},
		"another team's stream is gone": {prepare: func(w *world) {
			_, states := w.buckets()
			must(t, provision.RecordOwner(t.Context(), states, jetstream.StreamConfig{Name: "ZOOM"}))
		}, want: waits, words: "whoever did must restore it"},
		"a context with an inbox of its own": {options: func(o *server.Options) {
			p := connector(o).Permissions
			without(p.Subscribe, "_INBOX.>")
			p.Subscribe.Allow = append(p.Subscribe.Allow, "_INBOX_zoom.>")
		}, settings: []string{"NATS_URL=", "NATS_USER=", "NATS_PASSWORD=", "NATS_CONTEXT=inbox"}, want: connects},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *server.Options) {
				p := connector(o).Permissions.Publish // otherwise doctor listens for replicas, which takes longer
				p.Allow = append(p.Allow, "$SRV.PING.zoomstream")
				if c.options != nil {
					c.options(o)
				}
			})
			if c.prepare != nil {
				c.prepare(w)
			}
			settings := c.settings
			for i, s := range settings {
				if s == "NATS_CONTEXT=inbox" {
					settings[i] = "NATS_CONTEXT=" + w.context("_INBOX_zoom")
				}
			}
			r := w.run(settings...)
			failed := &Failed{}
			said := connects
			if errors.As(r.Err(), &failed) {
				said = waits
				if failed.Config {
					said = refuses
				}
			}
			before := w.streams()
			got, err := w.start(settings...)
			if after := w.streams(); got == refuses && after != before {
				t.Errorf("run refuses, and leaves behind: %s; before: %s", after, before)
			}
			// A connector also waits for a missing right, which a restart does not mend either.
			agree := said == got || got == waits && said != connects
			if got != c.want || !agree {
				t.Errorf("run %s (%v), want %s; doctor says that it %s:\n%s", got, err, c.want, said, r.text())
			}
			if !strings.Contains(r.text(), c.words) || got == refuses && !strings.Contains(err.Error(), c.words) {
				t.Errorf("%q is not said by both: %v\n%s", c.words, err, r.text())
			}
		})
	}
}

// streams returns the names of all streams.
func (w *world) streams() string {
	w.t.Helper()
	var all []string
	names := w.js.StreamNames(w.t.Context())
	for name := range names.Name() {
		all = append(all, name)
	}
	must(w.t, names.Err())
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// context writes a context of the nats tool, and returns its path.
func (w *world) context(inbox string) string {
	w.t.Helper()
	text, err := json.Marshal(map[string]string{"url": w.nats.ClientURL(), "user": "zoomstream", "password": "geheim-must-not-leak", "inbox_prefix": inbox})
	must(w.t, err)
	path := filepath.Join(w.t.TempDir(), "inbox.json")
	must(w.t, os.WriteFile(path, text, 0o600))
	return path
}
