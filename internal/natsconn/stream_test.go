package natsconn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

func wanted() StreamOptions {
	return StreamOptions{Name: "ZOOM", Prefix: "zoom", Replicas: 1, MaxAge: 7 * 24 * time.Hour,
		DuplicateWindow: 30 * time.Minute, MaxMessage: 8 << 20, Version: "v1.2.3"}
}

func TestStreamIsCreatedOnce(t *testing.T) {
	js := embeddedJetStream(t)
	o := wanted()
	o.MaxBytes = 1 << 30
	info, created, findings, err := EnsureStream(t.Context(), js, o)
	if err != nil || !created || len(findings) > 0 {
		t.Fatalf("created %v, findings %v, error %v", created, findings, err)
	}
	c := info.Config
	if !slices.Equal(c.Subjects, []string{"zoom.>"}) || c.Storage != jetstream.FileStorage || c.Discard != jetstream.DiscardOld ||
		c.Retention != jetstream.LimitsPolicy || c.Duplicates != o.DuplicateWindow || c.MaxAge != o.MaxAge || c.MaxBytes != o.MaxBytes ||
		c.Replicas != 1 || !c.AllowDirect || c.Metadata["owner"] != "zoomstream" || c.Metadata["version"] != "v1.2.3" {
		t.Errorf("created as %+v", c)
	}

	// The next start, with other settings, reports what differs and leaves the stream as it is.
	o.MaxBytes, o.DuplicateWindow, o.Version = 0, time.Hour, "v2"
	again, created, findings, err := EnsureStream(t.Context(), js, o)
	if err != nil || created || len(findings) != 1 || !strings.Contains(findings[0].Problem, "duplicate_window") {
		t.Errorf("created %v, findings %v, error %v", created, findings, err)
	}
	if again.Config.MaxBytes != 1<<30 || again.Config.Duplicates != 30*time.Minute || again.Config.Metadata["version"] != "v1.2.3" {
		t.Errorf("it was changed to %+v", again.Config)
	}
}

func TestReplicasCreateTheStreamTogether(t *testing.T) {
	js := embeddedJetStream(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			o := wanted()
			o.Version = strings.Repeat("i", i+1) // so that the configurations differ
			if _, _, findings, err := EnsureStream(t.Context(), js, o); err != nil || len(findings) > 0 {
				t.Errorf("findings %v, error %v", findings, err)
			}
		})
	}
	wg.Wait()
}

// TestExistingStreamIsChecked creates streams as operators do, and expects exactly the named
// findings. A finding is fatal if publishing shows that some event is never accepted.
func TestExistingStreamIsChecked(t *testing.T) {
	good := func() jetstream.StreamConfig {
		return jetstream.StreamConfig{Name: "ZOOM", Subjects: []string{"zoom.>"}, Duplicates: time.Hour}
	}
	for name, test := range map[string]struct {
		change func(*jetstream.StreamConfig)
		fatal  bool
		want   []string // part of each problem
		fix    string   // part of the first finding's fix
	}{
		"good":       {change: func(c *jetstream.StreamConfig) {}},
		"wider":      {change: func(c *jetstream.StreamConfig) { c.Subjects = []string{"legacy", "zoom.>"} }},
		"deny purge": {change: func(c *jetstream.StreamConfig) { c.DenyPurge = true }},
		"republish": {change: func(c *jetstream.StreamConfig) {
			c.RePublish = &jetstream.RePublish{Source: ">", Destination: "copy.>"}
		}},
		"discard new":  {change: func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardNew }},
		"no subject":   {func(c *jetstream.StreamConfig) { c.Subjects = []string{"legacy.>", "zoom.meeting.*"} }, true, []string{"holds legacy.>, zoom.meeting.*"}, "nats stream edit ZOOM --subjects='zoom.>','legacy.>'"},
		"no ack":       {func(c *jetstream.StreamConfig) { c.NoAck = true }, true, []string{"no_ack"}, "nats stream edit ZOOM --ack"},
		"counter":      {func(c *jetstream.StreamConfig) { c.AllowMsgCounter = true }, true, []string{"allow_msg_counter"}, "another stream"},
		"short window": {func(c *jetstream.StreamConfig) { c.Duplicates = 2 * time.Minute }, false, []string{"2m0s only (duplicate_window"}, "nats stream edit ZOOM --dupe-window=30m0s"},
		"short age":    {func(c *jetstream.StreamConfig) { c.MaxAge, c.Duplicates = time.Minute, time.Minute }, false, []string{"duplicate_window", "1m0s only (max_age)"}, "--dupe-window=30m0s --max-age=168h0m0s"},
		"full, new":    {func(c *jetstream.StreamConfig) { c.Discard, c.MaxBytes = jetstream.DiscardNew, 1<<30 }, false, []string{"discard: new"}, "--discard=old"},
		"per subject new": {func(c *jetstream.StreamConfig) {
			c.Discard, c.DiscardNewPerSubject, c.MaxMsgsPerSubject = jetstream.DiscardNew, true, 5
		}, true, []string{"discard_new_per_subject"}, "--discard=old --no-discard-per-subject"},
		"per subject": {func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 }, false, []string{"last 5 events of each subject"}, "--max-msgs-per-subject=-1"},
		"small":       {func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1 << 20 }, false, []string{"over 1048576 bytes (max_msg_size)"}, "--max-msg-size=8388608"},
		"tiny":        {func(c *jetstream.StreamConfig) { c.MaxMsgSize = 100 }, true, []string{"over 100 bytes (max_msg_size)"}, "--max-msg-size=8388608"},
		"few bytes":   {func(c *jetstream.StreamConfig) { c.MaxBytes = 1000 }, false, []string{"1000 bytes only (max_bytes)"}, "--max-bytes=-1"},
		"one message": {func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 }, false, []string{"last 1 events only (max_msgs)"}, "--max-msgs=-1"},
		"async":       {func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, false, []string{"persist_mode: async"}, "another stream"},
		"memory":      {func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, false, []string{"in memory"}, "another stream"},
		"work queue":  {func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, false, []string{"work queue"}, "another stream"},
		"interest":    {func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, false, []string{"retention: interest"}, "--retention=limits"},
		"transform": {func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "zoom.>", Destination: "moved.>"}
		}, false, []string{"subject_transform"}, "--no-transform"},
		"two": {func(c *jetstream.StreamConfig) { c.NoAck, c.MaxMsgSize = true, 1<<20 }, true, []string{"no_ack", "max_msg_size"}, "--ack"},
	} {
		t.Run(name, func(t *testing.T) {
			js := embeddedJetStream(t) // a server may refuse a name right after its stream was deleted
			config := good()
			test.change(&config)
			before := create(t, js, config)
			checkFindings(t, js, wanted(), test.fatal, test.want, test.fix)
			stream, err := js.Stream(t.Context(), "ZOOM")
			if err != nil {
				t.Fatal(err)
			}
			if stream.CachedInfo().Created != before.Created || !equalConfig(stream.CachedInfo().Config, before.Config) {
				t.Errorf("the stream was changed:\n%+v\n%+v", before.Config, stream.CachedInfo().Config)
			}
			if err := publishSome(t, js, test.fatal); (err != nil) != test.fatal {
				t.Errorf("fatal %v, and publishing shows: %v", test.fatal, err)
			}
		})
	}

	t.Run("sealed", func(t *testing.T) {
		js := embeddedJetStream(t)
		sealed := create(t, js, good()).Config
		sealed.Sealed = true
		if _, err := js.UpdateStream(t.Context(), sealed); err != nil {
			t.Fatal(err)
		}
		checkFindings(t, js, wanted(), true, []string{"sealed"}, "another stream")
	})
	t.Run("mirror", func(t *testing.T) {
		js := embeddedJetStream(t)
		create(t, js, jetstream.StreamConfig{Name: "ORIGIN", Subjects: []string{"origin"}})
		create(t, js, jetstream.StreamConfig{Name: "ZOOM", Mirror: &jetstream.StreamSource{Name: "ORIGIN"}})
		checkFindings(t, js, wanted(), true, []string{"mirror of ORIGIN"}, "another stream")
	})
	t.Run("replicas", func(t *testing.T) {
		js := embeddedJetStream(t)
		create(t, js, good())
		o := wanted()
		o.Replicas = 3
		checkFindings(t, js, o, false, []string{"has 1 replica(s), 3 wanted"}, "--replicas=3")
	})
}

// publishSome publishes until a message is not accepted. If fatal, it does not wait long: nobody
// may answer.
func publishSome(t *testing.T, js jetstream.JetStream, fatal bool) error {
	t.Helper()
	wait := 30 * time.Second
	if fatal {
		wait = 200 * time.Millisecond
	}
	for _, subject := range []string{"zoom._bridge.gap", "zoom.meeting.started", "zoom.meeting.started", "zoom.a", "zoom.a", "zoom.a", "zoom.a", "zoom.a", "zoom.a"} {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		_, err := js.Publish(ctx, subject, make([]byte, 3<<10), jetstream.WithRetryAttempts(0))
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", subject, err)
		}
	}
	return nil
}

func create(t *testing.T, js jetstream.JetStream, c jetstream.StreamConfig) *jetstream.StreamInfo {
	t.Helper()
	stream, err := js.CreateStream(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo()
}

func equalConfig(a, b jetstream.StreamConfig) bool {
	return slices.Equal(a.Subjects, b.Subjects) && a.Duplicates == b.Duplicates && a.MaxAge == b.MaxAge &&
		a.NoAck == b.NoAck && a.Discard == b.Discard && a.MaxMsgSize == b.MaxMsgSize && len(a.Metadata) == len(b.Metadata)
}

func checkFindings(t *testing.T, js jetstream.JetStream, o StreamOptions, fatal bool, problems []string, fix string) {
	t.Helper()
	_, created, findings, err := EnsureStream(t.Context(), js, o)
	if err != nil || created {
		t.Fatalf("created %v, error %v", created, err)
	}
	if len(findings) != len(problems) {
		t.Fatalf("findings %v, wanted %q", findings, problems)
	}
	anyFatal := false
	for i, f := range findings {
		anyFatal = anyFatal || f.Fatal
		if !strings.Contains(f.Problem, problems[i]) || strings.Contains(f.Problem, "\n") || f.Fix == "" {
			t.Errorf("finding %+v, wanted %q", f, problems[i])
		}
	}
	if anyFatal != fatal {
		t.Errorf("fatal %v, wanted %v: %v", anyFatal, fatal, findings)
	}
	if len(findings) > 0 && !strings.Contains(findings[0].Fix, fix) {
		t.Errorf("fix %q, wanted %q", findings[0].Fix, fix)
	}
}

// TestStreamCannotBeCreated: the error is a ConfigError with the reason and the setting to change.
func TestStreamCannotBeCreated(t *testing.T) {
	srv := runServer(t, &server.Options{JetStream: true, JetStreamMaxStore: 1 << 20,
		JetStreamLimits: server.JSLimitOpts{Duplicates: time.Hour}})
	nc := connect(t, Options{InProcess: srv})
	js := natstest.JetStream(t, nc)
	for name, test := range map[string]struct {
		change  func(*StreamOptions)
		setting string
		parts   []string
	}{
		"window over the server's": {func(o *StreamOptions) { o.DuplicateWindow = 2 * time.Hour }, "ZOOMSTREAM_DUPLICATE_WINDOW", []string{"2h0m0s", "server limit of 1h0m0s"}},
		"window over the age":      {func(o *StreamOptions) { o.MaxAge = time.Minute }, "ZOOMSTREAM_DUPLICATE_WINDOW", []string{"30m0s", "1m0s"}},
		"replicas":                 {func(o *StreamOptions) { o.Replicas = 3 }, "ZOOMSTREAM_STREAM_REPLICAS", []string{"3 replicas", "use 1"}},
		"too many replicas":        {func(o *StreamOptions) { o.Replicas = 7 }, "ZOOMSTREAM_STREAM", []string{"maximum replicas is 5"}},
		"storage":                  {func(o *StreamOptions) { o.MaxBytes = 1 << 40 }, "ZOOMSTREAM_STREAM_MAX_BYTES", []string{"1099511627776", "max_file_store"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := wanted()
			test.change(&o)
			_, _, _, err := EnsureStream(t.Context(), js, o)
			want(t, err, test.parts...)
			config, ok := errors.AsType[*ConfigError](err)
			if !ok || config.Setting != test.setting {
				t.Errorf("%v is no error of %s", err, test.setting)
			}
		})
	}
	if names := js.StreamNames(t.Context()); <-names.Name() != "" {
		t.Error("a stream was created")
	}
}

func TestAccountBoundsItsStreams(t *testing.T) {
	srv := runServer(t, &server.Options{JetStream: true})
	limits := server.JetStreamAccountLimits{MaxMemory: 1 << 20, MaxStore: 1 << 30, MaxStreams: -1, MaxConsumers: -1,
		StoreMaxStreamBytes: 1 << 20, MaxBytesRequired: true}
	if err := srv.GlobalAccount().UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"": limits}); err != nil {
		t.Fatal(err)
	}
	js, _ := jetstream.New(connect(t, Options{InProcess: srv}))
	o := wanted()
	_, _, _, err := EnsureStream(t.Context(), js, o)
	want(t, err, "ZOOMSTREAM_STREAM_MAX_BYTES", "requires a limit")
	o.MaxBytes = 1 << 21
	_, _, _, err = EnsureStream(t.Context(), js, o)
	want(t, err, "ZOOMSTREAM_STREAM_MAX_BYTES", "2097152", "set less")
	o.MaxBytes = 1 << 20
	if _, created, _, err := EnsureStream(t.Context(), js, o); err != nil || !created {
		t.Errorf("created %v, error %v", created, err)
	}
}

// late does not find a stream at the first look, as if it was created right after that.
type late struct {
	jetstream.JetStream
	looked bool
}

func (l *late) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	if !l.looked {
		l.looked = true
		return nil, jetstream.ErrStreamNotFound
	}
	return l.JetStream.Stream(ctx, name)
}

// TestCreatedMeanwhile: two replicas start at once. One finds the stream that the other has just
// created, and does not take it for somebody else's.
func TestCreatedMeanwhile(t *testing.T) {
	js := embeddedJetStream(t)
	if _, _, _, err := EnsureStream(t.Context(), js, wanted()); err != nil {
		t.Fatal(err)
	}
	room, err := FindRoom(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	if info, _, err := InspectStream(t.Context(), &late{JetStream: js}, room, wanted()); err != nil || info == nil {
		t.Errorf("found %v, error %v", info, err)
	}
}

func TestSubjectsAreHeldByOthers(t *testing.T) {
	js := embeddedJetStream(t)
	create(t, js, jetstream.StreamConfig{Name: "LEGACY", Subjects: []string{"zoom.>"}})
	_, _, _, err := EnsureStream(t.Context(), js, wanted())
	want(t, err, "zoom.> are already held by stream LEGACY", "ZOOMSTREAM_STREAM=LEGACY", "ZOOMSTREAM_PREFIX")
	if _, ok := errors.AsType[*ConfigError](err); !ok {
		t.Errorf("%v is no ConfigError", err)
	}
	o := wanted()
	o.Prefix = "zoomevents"
	if _, created, _, err := EnsureStream(t.Context(), js, o); err != nil || !created {
		t.Errorf("created %v, error %v", created, err)
	}
}

// TestStreamWaitsForTheServer: a start while the server is away continues once it is there.
func TestStreamWaitsForTheServer(t *testing.T) {
	opts := &server.Options{JetStream: true}
	srv := runServer(t, opts)
	log, logger := newLog()
	js, _ := jetstream.New(connect(t, Options{URL: srv.ClientURL(), Log: logger}))
	srv.Shutdown()
	srv.WaitForShutdown()
	log.await(t, "NATS connection lost")

	log, done := ensureInBackground(t.Context(), js)
	log.await(t, "waiting for stream ZOOM")
	runServer(t, &server.Options{JetStream: true, Port: opts.Port, StoreDir: opts.StoreDir})
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStreamStopsWaiting(t *testing.T) {
	srv := runServer(t, &server.Options{}) // JetStream never comes
	js, _ := jetstream.New(connect(t, Options{InProcess: srv}))
	ctx, cancel := context.WithCancelCause(t.Context())
	log, done := ensureInBackground(ctx, js)
	log.await(t, "waiting for stream ZOOM")
	cancel(errors.New("told to stop"))
	want(t, <-done, "told to stop")
}

func ensureInBackground(ctx context.Context, js jetstream.JetStream) (*logLines, <-chan error) {
	log, logger := newLog()
	o := wanted()
	o.Log = logger
	done := make(chan error, 1)
	go func() {
		_, _, _, err := EnsureStream(ctx, js, o)
		done <- err
	}()
	return log, done
}

func TestCovers(t *testing.T) {
	for _, test := range []struct {
		held string
		want bool
	}{
		{"acme.zoom.>", true}, {"acme.>", true}, {"*.zoom.>", true}, {">", true},
		{"acme.zoom.*", false}, {"acme.zoom", false}, {"acme.zoom.meeting.>", false}, {"zoom.>", false},
	} {
		if got := covers([]string{"other", test.held}, "acme.zoom.>"); got != test.want {
			t.Errorf("%s: %v", test.held, got)
		}
	}
}
