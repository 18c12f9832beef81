package natsconn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/secretfile"
)

// Limits of the embedded server. nats.conf sets the same ones, and a test compares them.
const (
	embeddedName        = "zoomstream"
	embeddedPort        = 4222
	embeddedMaxPayload  = 8 << 20   // bytes; above, the server itself warns
	embeddedMaxMemory   = 256 << 20 // bytes of memory streams, which zoomstream does not use
	embeddedMaxStore    = 32 << 30  // bytes on disk; then publishing is refused
	embeddedPing        = 20 * time.Second
	embeddedMaxPings    = 2 // unanswered, then the client counts as gone
	embeddedWaitForPort = 5 * time.Second
)

// EmbeddedOptions says where the embedded server keeps its data and where it listens.
type EmbeddedOptions struct {
	DataDir string         // created if missing; the server uses the nats folder in it
	Host    string         // empty: 127.0.0.1
	Port    int            // 0: 4222; -1: any free one
	Log     zerolog.Logger // for the server's log too: its notices at debug, its debug lines at trace
}

// Embedded is a nats-server with JetStream inside this process. Its methods may be used concurrently.
type Embedded struct {
	srv     *server.Server
	log     zerolog.Logger
	lock    *flock.Flock
	urlFile string
	failed  chan error
	stop    sync.Once
}

// StartEmbedded locks the data folder, starts the server in it and returns once clients can connect.
// The lock comes first because nats-server has none: two servers on one folder would both come up and ruin it.
//
// A folder or a port that another process uses gives an error that wraps [ErrFolderInUse] or [ErrPortInUse] and
// tells how to join that process. ctx is looked at when the server has read its streams back.
func StartEmbedded(ctx context.Context, o EmbeddedOptions) (*Embedded, error) {
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: data folder %q: %w", o.DataDir, err)
	}
	lock, err := lockFolder(dir, o.Port)
	if err != nil {
		return nil, err
	}
	opts := embeddedOptions(o, dir)
	e := &Embedded{log: o.Log, lock: lock, urlFile: urlFile(dir), failed: make(chan error, 1)}
	if err := e.start(ctx, opts); err != nil {
		e.Shutdown()
		return nil, err
	}
	o.Log.Info().Str("code", "nats.embedded").Str("url", e.ClientURL()).Str("data_dir", opts.StoreDir).Msg("embedded NATS started")
	return e, nil
}

func embeddedOptions(o EmbeddedOptions, dir string) *server.Options {
	return &server.Options{
		ServerName:             embeddedName,
		Host:                   cmp.Or(o.Host, "127.0.0.1"),
		Port:                   cmp.Or(o.Port, embeddedPort),
		MaxPayload:             embeddedMaxPayload,
		PingInterval:           embeddedPing,
		MaxPingsOut:            embeddedMaxPings,
		JetStream:              true,
		StoreDir:               filepath.Join(dir, "nats"),
		SyncAlways:             true, // there is no replica that could hold what the page cache loses
		JetStreamMaxMemory:     embeddedMaxMemory,
		JetStreamMaxStore:      embeddedMaxStore,
		DisableJetStreamBanner: true,
		NoSigs:                 true, // else the library ends the process on SIGINT and SIGTERM by itself
	}
}

func (e *Embedded) start(ctx context.Context, opts *server.Options) error {
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	e.srv = srv
	srv.SetLoggerV2(&serverLog{log: e.log.With().Str("component", "nats-server").Logger(), failed: e.failed}, true, false, false)

	srv.Start() // returns when the streams are read back and the listener is open, or has failed
	select {
	case err := <-e.failed:
		return startError(err, opts)
	default:
	}
	if ctx.Err() != nil {
		return fmt.Errorf("embedded NATS: %w", context.Cause(ctx))
	}
	if !srv.ReadyForConnections(embeddedWaitForPort) {
		return fmt.Errorf("embedded NATS: not ready for connections on %s", address(opts))
	}
	// The file is a help for a second process only, so a failure is not worth a failed start.
	if err := os.WriteFile(e.urlFile, []byte(srv.ClientURL()+"\n"), 0o600); err != nil {
		e.log.Warn().Str("code", "nats.embedded_folder").Err(err).Msg("embedded NATS: cannot note its address in the data folder")
	}
	return nil
}

func startError(err error, opts *server.Options) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("embedded NATS in %s: %w", opts.StoreDir, err)
	}
	return fmt.Errorf("embedded NATS: %w: something listens on %s already; if it is a NATS server with JetStream "+
		"(another zoomstream runs one), join it with NATS_URL=nats://%[2]s, else stop it", ErrPortInUse, address(opts))
}

// lockFolder creates the data folder and takes its lock, which the system drops with the process, however that ends.
func lockFolder(dir string, port int) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded NATS: data folder: %w; make it writable or set ZOOMSTREAM_DATA_DIR", err)
	}
	lock := flock.New(filepath.Join(dir, "nats.lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: data folder: %w; make it writable or set ZOOMSTREAM_DATA_DIR", err)
	}
	if locked {
		_ = os.Remove(urlFile(dir)) // left behind by a killed process; written anew in a moment
		return lock, nil
	}
	url, _ := EmbeddedURL(dir, port) // a guess, for one that is still starting
	return nil, fmt.Errorf("embedded NATS: %w: another process runs its NATS server in %s; join it with NATS_URL=%s, "+
		"or give this process another ZOOMSTREAM_DATA_DIR", ErrFolderInUse, dir, url)
}

// EmbeddedURL is where the embedded server of a process with this data folder listens, if noted; else where it would.
// The port is as in [EmbeddedOptions].
func EmbeddedURL(dataDir string, port int) (url string, noted bool) {
	text, _ := secretfile.Read(urlFile(dataDir), secretfile.MaxSecret) // none: it does not run
	if url = strings.TrimSpace(string(text)); url != "" {
		return url, true
	}
	return UsualURL(port), false
}

// UsualURL is where an embedded server listens that has this port in its [EmbeddedOptions], and no host.
func UsualURL(port int) string { return fmt.Sprintf("nats://127.0.0.1:%d", cmp.Or(port, embeddedPort)) }

func urlFile(dir string) string { return filepath.Join(dir, "nats.url") }

func address(opts *server.Options) string {
	return net.JoinHostPort(opts.Host, strconv.Itoa(opts.Port))
}

// ClientURL is the address for clients, such as nats://127.0.0.1:4222.
func (e *Embedded) ClientURL() string { return e.srv.ClientURL() }

// Server is for connections inside the process, which need no socket (see Options.InProcess).
func (e *Embedded) Server() *server.Server { return e.srv }

// Failed gives a fatal error that the server reported after its start. The library itself goes on running then,
// so whoever started it has to end the process.
func (e *Embedded) Failed() <-chan error { return e.failed }

// Shutdown stops the server, waits until its files are closed and releases the folder. Close connections first:
// they would try to reconnect. Further calls do nothing.
func (e *Embedded) Shutdown() {
	e.stop.Do(func() {
		if e.srv != nil {
			e.srv.Shutdown()
			e.srv.WaitForShutdown()
		}
		if err := errors.Join(os.RemoveAll(e.urlFile), e.lock.Unlock()); err != nil {
			e.log.Warn().Str("code", "nats.embedded_folder").Err(err).Msg("embedded NATS: cannot release the data folder")
		}
	})
}
