package natsconn

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/secretfile"
)

// EmbeddedName is the server name of the embedded server, and of the one that nats.conf describes.
const EmbeddedName = "zoomstream"

// Limits of the embedded server. nats.conf sets the same; a test compares them.
const (
	embeddedMaxPayload  = 8 << 20   // bytes; the server itself warns about more
	embeddedMaxMemory   = 256 << 20 // bytes for memory streams, which zoomstream does not use
	embeddedMaxStore    = 32 << 30  // bytes on disk; beyond, publishing is refused
	embeddedPing        = 20 * time.Second
	embeddedMaxPings    = 2 // unanswered pings until a client counts as gone
	embeddedWaitForPort = 5 * time.Second
)

// DefaultAddr is where the embedded server listens by default.
const DefaultAddr = "127.0.0.1:4222"

// EmbeddedOptions says where the embedded server keeps its data and where it listens.
type EmbeddedOptions struct {
	DataDir string         // created if missing; the server uses its subfolder nats
	Addr    string         // host and port to listen on; port 0: any free one; empty: DefaultAddr
	Readers *Readable      // what clients without a login may read; nil: they are refused
	Log     zerolog.Logger // also gets the server's log: its notices at debug, its debug lines at trace
}

// Embedded is a nats-server with JetStream inside this process. Its methods are safe for concurrent
// use.
type Embedded struct {
	srv   *server.Server
	log   zerolog.Logger
	lock  *flock.Flock
	dir   string // absolute
	token string // grants a client every right

	listener net.Listener
	gate     *gate // owns the listener once it exists

	failed chan error
	stop   sync.Once
}

// StartEmbedded locks the data folder, starts the server in it and returns once clients can
// connect. The lock comes first because nats-server has none: two servers on one folder would both
// start and corrupt it.
//
// A client with the token has every right. The first start generates the token and keeps it in the
// folder's file nats.url, which only this user can read. o.Readers says what clients without it may
// read.
//
// If another process uses the folder or the port, the error wraps [ErrFolderInUse] or
// [ErrPortInUse] and says how to join that process. ctx is checked once the server has read its
// streams back.
func StartEmbedded(ctx context.Context, o EmbeddedOptions) (*Embedded, error) {
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: data folder %q: %w", o.DataDir, err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	e := &Embedded{log: o.Log, lock: lock, dir: dir, token: cmp.Or(tokenIn(readURLFile(dir)), rand.Text()), failed: make(chan error, 1)}
	opts := embeddedOptions(o, dir)
	who := &logins{token: e.token, password: rand.Text()}
	if o.Readers != nil {
		who.readable = o.Readers.permissions()
	}
	opts.CustomClientAuthentication = who
	if err := e.start(ctx, cmp.Or(o.Addr, DefaultAddr), opts, who); err != nil {
		e.Shutdown()
		return nil, err
	}
	o.Log.Info().Str("code", "nats.embedded").Str("url", e.ClientURL()).Str("data_dir", opts.StoreDir).Msg("embedded NATS started")
	return e, nil
}

func embeddedOptions(o EmbeddedOptions, dir string) *server.Options {
	return &server.Options{
		ServerName:             EmbeddedName,
		MaxPayload:             embeddedMaxPayload,
		PingInterval:           embeddedPing,
		MaxPingsOut:            embeddedMaxPings,
		DontListen:             true, // the gate listens
		JetStream:              true,
		StoreDir:               filepath.Join(dir, "nats"),
		SyncAlways:             true, // no replica could restore what is lost with the page cache
		JetStreamMaxMemory:     embeddedMaxMemory,
		JetStreamMaxStore:      embeddedMaxStore,
		DisableJetStreamBanner: true,
		NoSigs:                 true, // otherwise the library itself ends the process on SIGINT and SIGTERM
	}
}

func (e *Embedded) start(ctx context.Context, addr string, opts *server.Options, who *logins) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return startError(err, addr, opts)
	}
	e.listener = listener
	listens := listener.Addr().(*net.TCPAddr)
	opts.Host, opts.Port = listens.IP.String(), listens.Port
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	e.srv = srv
	srv.SetLoggerV2(&serverLog{log: e.log.With().Str("component", "nats-server").Logger(), failed: e.failed}, true, false, false)

	srv.Start() // returns once the streams are read back, or after a failure
	select {
	case err := <-e.failed:
		return startError(err, addr, opts)
	default:
	}
	if ctx.Err() != nil {
		return fmt.Errorf("embedded NATS: %w", context.Cause(ctx))
	}
	if !srv.ReadyForConnections(embeddedWaitForPort) {
		return errors.New("embedded NATS: not ready for connections")
	}
	e.gate = newGate(listener, srv.InProcessConn, who.password)
	// Only other processes need these files, so a failure does not fail the start.
	if err := e.writeURLFile(); err != nil {
		e.log.Warn().Str("code", "nats.embedded_folder").Err(err).Msg("embedded NATS: cannot write its address and token to the data folder")
	}
	return nil
}

// writeURLFile writes the address with the token to nats.url, and nats.pid to show that the server
// runs. The address stays after a stop: a replica that joins this server may start before it.
func (e *Embedded) writeURLFile() error {
	file, err := os.CreateTemp(e.dir, "nats.url-*") // created readable by this user only
	if err != nil {
		return err
	}
	_, err = file.WriteString(e.URL() + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), URLFile(e.dir))
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return os.WriteFile(pidFile(e.dir), fmt.Appendln(nil, os.Getpid()), 0o600)
}

func startError(err error, addr string, opts *server.Options) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("embedded NATS in %s: %w", opts.StoreDir, err)
	}
	return fmt.Errorf("embedded NATS: %w: something listens on %s already; if it is another zoomstream's NATS server, join it "+
		"with NATS_URL_FILE=<its ZOOMSTREAM_DATA_DIR>/nats.url, if one of your own, with NATS_URL=nats://%[2]s, else stop it",
		ErrPortInUse, addr)
}

// lockFolder creates the data folder and locks it. The system releases the lock with the process,
// however that ends.
func lockFolder(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded NATS: data folder: %w; make it writable or set ZOOMSTREAM_DATA_DIR", err)
	}
	lock := flock.New(filepath.Join(dir, "nats.lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: data folder: %w; make it writable or set ZOOMSTREAM_DATA_DIR", err)
	}
	if locked {
		_ = os.Remove(pidFile(dir)) // left by a killed process; start writes a new one
		return lock, nil
	}
	return nil, fmt.Errorf("embedded NATS: %w: another process runs its NATS server in %s; join it with NATS_URL_FILE=%s, "+
		"or give this process another ZOOMSTREAM_DATA_DIR", ErrFolderInUse, dir, URLFile(dir))
}

// EmbeddedURL returns where the embedded server of a process with this data folder listens, with
// its token, if the folder records it; otherwise where it would listen, given addr as in
// [EmbeddedOptions]. runs is wrong only if the process was killed.
func EmbeddedURL(dataDir string, addr string) (url string, runs bool) {
	if url = readURLFile(dataDir); url == "" {
		return "nats://" + cmp.Or(addr, DefaultAddr), false
	}
	_, err := os.Stat(pidFile(dataDir))
	return url, err == nil
}

// URLFile returns the file in a data folder that holds the embedded server's address, with the
// token.
func URLFile(dataDir string) string { return filepath.Join(dataDir, "nats.url") }

// readURLFile returns the content of that file; empty if it cannot be read.
func readURLFile(dir string) string {
	text, _ := secretfile.Read(URLFile(dir), secretfile.MaxSecret)
	return strings.TrimSpace(string(text))
}

// pidFile exists while the server of a data folder runs.
func pidFile(dir string) string { return filepath.Join(dir, "nats.pid") }

// ClientURL returns the address for clients, such as nats://127.0.0.1:4222.
func (e *Embedded) ClientURL() string { return e.srv.ClientURL() }

// URL returns the address with the token, for clients that need every right. It is a secret.
func (e *Embedded) URL() string { return withToken(e.ClientURL(), e.token) }

// URLFile returns the absolute path of the file that holds URL.
func (e *Embedded) URLFile() string { return URLFile(e.dir) }

// Server returns the server itself, for inspection.
func (e *Embedded) Server() *server.Server { return e.srv }

// Inside returns o changed for a connection inside the process, which needs no socket and has every
// right. Its replies go to an inbox that a client without a login can neither read nor have the
// server write to.
func (e *Embedded) Inside(o Options) Options {
	o.InProcess, o.User, o.Password = e.srv, embeddedUser, e.token
	return o
}

// Failed delivers a fatal error that the server reports after its start. The library itself keeps
// running, so whoever started it has to end the process.
func (e *Embedded) Failed() <-chan error { return e.failed }

// Shutdown stops the server, waits until its files are closed and releases the folder. Close client
// connections first: they would try to reconnect. Further calls do nothing.
func (e *Embedded) Shutdown() {
	e.stop.Do(func() {
		if e.gate != nil {
			e.gate.close()
		} else if e.listener != nil {
			e.listener.Close() //nolint:errcheck // nothing can be done
		}
		if e.srv != nil {
			e.srv.Shutdown()
			e.srv.WaitForShutdown()
		}
		if err := errors.Join(os.RemoveAll(pidFile(e.dir)), e.lock.Unlock()); err != nil {
			e.log.Warn().Str("code", "nats.embedded_folder").Err(err).Msg("embedded NATS: cannot release the data folder")
		}
	})
}
