package natsconn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// Unreachable is the error of [ConnectNow]: why there is no connection now.
type Unreachable struct {
	Target  string // the servers, without secrets
	Refused bool   // the server is up but refuses the credentials
	Err     error
	Advice  string // what to check
}

func (e *Unreachable) Error() string { return fmt.Sprintf("NATS at %s: %v", e.Target, e.Err) }

// Unwrap returns Err.
func (e *Unreachable) Unwrap() error { return e.Err }

// ConnectNow is [Connect] for callers who want to know why there is no connection rather than wait
// for one. It does not log. The error is an [Unreachable], or one [ConfigError] per setting that
// can never work.
func ConnectNow(ctx context.Context, o Options) (jetstream.JetStream, error) {
	said := &lastTrouble{}
	o.Log = zerolog.New(said)
	e := &events{log: o.Log, target: "in process"}
	js, err := dial(o, e)
	if err != nil {
		return nil, err
	}
	nc := js.Conn()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !nc.IsConnected() {
		last := nc.LastError()
		if ctx.Err() == nil && !nc.IsClosed() && !refused(last) {
			select {
			case <-ctx.Done():
			case <-poll.C:
			}
			continue
		}
		nc.Close()
		if last != nil {
			return nil, &Unreachable{Target: e.target, Refused: refused(last), Err: last, Advice: connectAdvice(last)}
		}
		return nil, said.unreachable(e.target, context.Cause(ctx))
	}
	return js, nil
}

// lastTrouble keeps the last log line about a connection that cannot be made, because nats.go
// reports the cause to a handler only.
type lastTrouble struct {
	mu    sync.Mutex
	Error string `json:"error"`
	Check string `json:"check"`
}

func (l *lastTrouble) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	json.Unmarshal(line, l) //nolint:errcheck // zerolog writes JSON
	return len(line), nil
}

func (l *lastTrouble) unreachable(target string, otherwise error) *Unreachable {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := &Unreachable{Target: target, Err: otherwise, Advice: connectAdvice(otherwise)}
	if l.Error != "" {
		u.Err, u.Advice = errors.New(l.Error), l.Check
	}
	return u
}
