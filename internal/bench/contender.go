package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The contenders, by the headings of their columns.
const (
	connector = "zoomstream"
	bare      = "nats.go"
	node      = "Node bridge"
)

// contenders are the compared paths of an event into the stream.
type contenders struct {
	names      []string // in the order of a round
	zoomstream string   // path of the program
	bridge     string   // folder of the Node bridge; empty: not measured

	// Settings of zoomstream, for the others to copy.
	stream jetstream.StreamConfig
	header nats.Header
	window map[int]int // window of the bare publisher, by event size
}

// entrant is a running contender.
type entrant struct {
	sender   *child // takes the orders
	process  *child // the measured process
	mallocs  func(ctx context.Context) (float64, error)
	received func(ctx context.Context) (float64, error) // number of events; zoomstream only
}

func newContenders(ctx context.Context, zoomstream string, withNode bool, dir string) (*contenders, error) {
	program, err := filepath.Abs(zoomstream)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%w; make build builds it", err)
	}
	c := &contenders{names: []string{connector, bare}, zoomstream: program, window: make(map[int]int)}
	if withNode {
		if c.bridge, err = installBridge(ctx, dir); err != nil {
			return nil, err
		}
	}
	if c.bridge != "" {
		c.names = append(c.names, node)
	}
	return c, nil
}

// start starts a contender and waits until it is connected.
func (c *contenders) start(ctx context.Context, w *world, name string) (*entrant, error) {
	if name != connector {
		if _, err := w.js.CreateStream(ctx, c.stream); err != nil {
			return nil, err
		}
	}
	if name == bare {
		p, err := w.role(ctx, rolePublisher, "NATS_URL="+w.url)
		if err != nil {
			return nil, err
		}
		_, err = p.next(ctx)
		return &entrant{sender: p, process: p}, err
	}
	source, environ, err := w.startZoom(ctx)
	if err != nil {
		return nil, err
	}
	e := &entrant{sender: source}
	if name == node {
		e.process, err = w.keep(c.startBridge(ctx, w, environ))
	} else {
		err = c.startConnector(ctx, w, environ, e)
	}
	if err != nil {
		return nil, err
	}
	return e, e.connected(ctx)
}

// connected waits for the contender's connection to Zoom.
func (e *entrant) connected(ctx context.Context) error {
	connectCtx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("no connection"))
	defer cancel()
	if _, err := e.sender.next(connectCtx); err != nil {
		return e.process.failed(err)
	}
	return nil
}

// startZoom starts a Zoom, and returns the environment to connect to it.
func (w *world) startZoom(ctx context.Context) (*child, []string, error) {
	source, err := w.role(ctx, roleZoom)
	if err != nil {
		return nil, nil, err
	}
	r, err := source.next(ctx)
	return source, []string{
		"ZOOM_CLIENT_ID=bench", "ZOOM_CLIENT_SECRET=bench", "ZOOM_ACCOUNT_ID=bench",
		"ZOOM_OAUTH_URL=http://" + r.Address + "/oauth/token",
		"ZOOM_WEBSOCKET_URL=ws://" + r.Address + "/ws?subscriptionId=AAAAAAAAAAAAAAAAAAAAAA",
		"NATS_URL=" + w.url,
	}, err
}

// startConnector starts zoomstream as users do.
func (c *contenders) startConnector(ctx context.Context, w *world, environ []string, e *entrant) error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	address := "127.0.0.1:" + strconv.Itoa(ports[0])
	e.process, err = w.keep(startChild(ctx, connector, w.dir, append(environ, "ZOOMSTREAM_HTTP_ADDR="+address, "ZOOMSTREAM_STREAM_REPLICAS="+strconv.Itoa(max(1, c.stream.Replicas))), c.zoomstream, "run"))
	e.mallocs = func(ctx context.Context) (float64, error) { return scrape(ctx, address, "go_memstats_mallocs_total") }
	e.received = func(ctx context.Context) (float64, error) {
		return scrape(ctx, address, "zoomstream_events_received_total")
	}
	return err
}

func (c *contenders) startBridge(ctx context.Context, w *world, environ []string) (*child, error) {
	return startChild(ctx, "bridge", w.dir, environ, "node", filepath.Join(c.bridge, "bridge.mjs"))
}

// scrape returns one value of zoomstream's metrics.
func scrape(ctx context.Context, address, name string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(io.LimitReader(answer.Body, 1<<20)); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, name) {
			return strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		}
	}
	return 0, fmt.Errorf("the connector has no metric %s", name)
}

// learn runs zoomstream once to record the stream it creates and the header of a message.
func (c *contenders) learn(ctx context.Context) error {
	w, err := newWorld(ctx, 1)
	if err != nil {
		return err
	}
	defer w.close()
	e, err := c.start(ctx, w, connector)
	if err != nil {
		return err
	}
	if _, err := e.sender.do(ctx, order{First: 1, Count: 1, Size: usualSize}); err != nil {
		return err
	}
	if n, err := w.awaitStored(ctx, 1); err != nil || n != 1 {
		return errors.Join(err, e.process.failed(errors.New("an event was not stored")))
	}
	stream, err := w.js.Stream(ctx, streamName)
	if err != nil {
		return err
	}
	message, err := stream.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return err
	}
	c.stream, c.header = stream.CachedInfo().Config, message.Header
	return nil
}

// order completes an order with what a sender needs.
func (c *contenders) order(first int64, count, size int, rate float64) order {
	return order{First: first, Count: count, Size: size, Rate: rate, Window: c.window[size], Header: c.header}
}
