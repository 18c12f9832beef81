package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

// roleVariable makes this binary run as another process of the benchmark.
const roleVariable = "ZOOMSTREAM_BENCH_ROLE"

const (
	roleZoom      = "zoom"
	roleServer    = "nats-server"
	rolePublisher = "publisher"
)

// runRole runs such a process. It ends with its standard input, and thus with the process that
// started it.
func runRole(ctx context.Context, role string) error {
	switch role {
	case roleZoom:
		return runZoom(ctx)
	case roleServer:
		return runServer(ctx)
	case rolePublisher:
		return runPublisher(ctx)
	default:
		return fmt.Errorf("unknown role %q", role)
	}
}

// startRole starts this binary in a role.
func startRole(ctx context.Context, role, dir string, environ ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startChild(ctx, role, dir, append(environ, roleVariable+"="+role), self)
}

// order asks Zoom or the publisher to send events.
type order struct {
	First  int64       `json:"first"` // number of the first event
	Count  int         `json:"count"`
	Size   int         `json:"size"`             // of a body, in bytes
	Rate   float64     `json:"rate,omitempty"`   // events per second; 0: a burst
	Window int         `json:"window,omitempty"` // for the publisher: maximum unacknowledged messages
	Header nats.Header `json:"header,omitempty"` // for the publisher: header of a message by zoomstream
}

// send calls one for each event when it is due. Above about 1,000 events per second, all events of
// a millisecond are due together, since timers are no finer.
func (o order) send(ctx context.Context, one func(number int64) error) (report, error) {
	start := time.Now()
	for i := range o.Count {
		if o.Rate > 0 {
			due := start.Add(time.Duration(float64(i) / o.Rate * float64(time.Second)))
			if early := time.Until(due); early > 0 {
				time.Sleep(max(early, time.Millisecond))
			}
		}
		if err := one(o.First + int64(i)); err != nil {
			return report{}, err
		}
		if ctx.Err() != nil {
			return report{}, context.Cause(ctx)
		}
	}
	return report{Started: start.UnixNano(), Ended: time.Now().UnixNano()}, nil
}

// orders calls carry for each order on the standard input, until that ends.
func orders(carry func(order) error) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		if err := carry(o); err != nil {
			return err
		}
	}
	return lines.Err()
}

// writeReport writes a report.
func writeReport(r report) error { return json.NewEncoder(os.Stdout).Encode(r) }
