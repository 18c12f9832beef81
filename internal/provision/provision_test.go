package provision

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

func newJetStream(t *testing.T) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(natstest.Run(t, t.TempDir(), -1).ClientURL())
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

func wanted() Options {
	return Options{
		Config: &config.Config{Stream: "ZOOM", Prefix: "zoom", Bucket: "zoomstream", StreamReplicas: 1, DuplicateWindow: time.Minute},
		Log:    zerolog.Nop(),
	}
}

func streams(t *testing.T, js jetstream.JetStream) (all []*jetstream.StreamInfo) {
	t.Helper()
	list := js.ListStreams(t.Context())
	for info := range list.Info() {
		all = append(all, info)
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// older is a server that cannot give entries a TTL of their own, like nats-server 2.10.
type older struct{ jetstream.JetStream }

func (o older) AccountInfo(ctx context.Context) (*jetstream.AccountInfo, error) {
	info, err := o.JetStream.AccountInfo(ctx)
	if err == nil {
		info.API.Level = 0
	}
	return info, err
}

// TestOlderServer: an older server is refused before anything is created on it.
func TestOlderServer(t *testing.T) {
	js := newJetStream(t)
	_, err := Prepare(t.Context(), older{js}, wanted())
	if e, ok := errors.AsType[*natsconn.ConfigError](err); !ok || e.Setting != "NATS_URL" {
		t.Errorf("it ends with %v", err)
	}
	for _, info := range streams(t, js) {
		t.Errorf("stream %s was created", info.Config.Name)
	}
}

// TestBounds: new buckets get a bound. Existing ones without one stay as they are.
func TestBounds(t *testing.T) {
	js := newJetStream(t)
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "zoomstream-state"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Prepare(t.Context(), js, wanted()); err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{"KV_zoomstream": kv.DefaultMaxBytes, "KV_zoomstream-state": -1, "ZOOM": -1}
	for _, info := range streams(t, js) {
		if info.Config.MaxBytes != want[info.Config.Name] {
			t.Errorf("stream %s is bounded to %d bytes, want %d", info.Config.Name, info.Config.MaxBytes, want[info.Config.Name])
		}
		delete(want, info.Config.Name)
	}
	if len(want) > 0 {
		t.Errorf("there is no %v", want)
	}
}
