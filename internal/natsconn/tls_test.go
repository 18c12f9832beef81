package natsconn

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/zoomstream/zoomstream/internal/testkit/natstest"
)

// TestTLS: the server requires a client certificate. Whatever is missing, the advice names the
// setting.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, caKey := natstest.Certificate(t, dir, "ca", nil, nil)
	natstest.Certificate(t, dir, "server", ca, caKey)
	natstest.Certificate(t, dir, "client", ca, caKey)
	natstest.Certificate(t, dir, "stranger", nil, nil)
	file := func(name string) string { return filepath.Join(dir, name) }
	secured := func(first bool) *server.Server {
		config, err := server.GenTLSConfig(&server.TLSConfigOpts{
			CertFile: file("server.crt"), KeyFile: file("server.key"), CaFile: file("ca.crt"), Verify: true})
		must(t, err)
		return runServer(t, &server.Options{TLSConfig: config, TLSTimeout: 5, TLSHandshakeFirst: first})
	}
	usual, first, plain := secured(false), secured(true), runServer(t, &server.Options{})

	good := Options{CA: file("ca.crt"), Cert: file("client.crt"), Key: file("client.key")}
	good.URL = usual.ClientURL()
	if nc := connect(t, good); !nc.TLSRequired() {
		t.Error("the connection is not encrypted")
	}
	t.Setenv("XDG_CONFIG_HOME", dir)
	must(t, os.MkdirAll(filepath.Join(dir, "nats", "context"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "nats", "context", "first.json"), []byte(`{"url": "nats://127.0.0.1:1", "tls_first": true}`), 0o600))
	atFirst := good
	atFirst.Context, atFirst.URL = "first", first.ClientURL()
	if nc := connect(t, atFirst); !nc.TLSRequired() {
		t.Error("the connection is not encrypted from the first byte")
	}

	var asked sync.WaitGroup
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"no authority":          {Options{URL: usual.ClientURL(), Cert: good.Cert, Key: good.Key}, "set NATS_CA"},
		"no certificate":        {Options{URL: usual.ClientURL(), CA: good.CA}, "set NATS_CERT and NATS_KEY"},
		"another's certificate": {Options{URL: usual.ClientURL(), CA: good.CA, Cert: file("stranger.crt"), Key: file("stranger.key")}, "set NATS_CERT and NATS_KEY"},
		"another name":          {Options{URL: strings.Replace(usual.ClientURL(), "127.0.0.1", "localhost", 1), CA: good.CA, Cert: good.Cert, Key: good.Key}, "for another name"},
		"TLS comes first":       {Options{URL: first.ClientURL(), CA: good.CA, Cert: good.Cert, Key: good.Key}, "set tls_first: true"},
		"TLS does not":          {Options{Context: "first", URL: plain.ClientURL()}, "remove tls_first"},
		"no TLS at all":         {Options{URL: plain.ClientURL(), CA: good.CA}, "the server offers no TLS"},
	} {
		asked.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			log, logger := newLog()
			c.o.Log = logger
			ended := make(chan struct{})
			go func() { defer close(ended); Connect(ctx, c.o) }() //nolint:errcheck // it waits until ctx ends
			log.await(t, c.want)
			cancel()
			<-ended
			u, ok := errors.AsType[*Unreachable](unreachableNow(t, c.o))
			if !ok || !strings.Contains(u.Advice, c.want) {
				t.Errorf("%s: %+v", name, u)
			}
		})
	}
	asked.Wait()
}

// unreachableNow returns why there is no connection within a few seconds.
func unreachableNow(t *testing.T, o Options) error {
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer cancel()
	_, err := ConnectNow(ctx, o)
	return err
}
