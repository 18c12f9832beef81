package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/message"
)

// runPublisher runs nats.go's asynchronous publisher and nothing else.
func runPublisher(ctx context.Context) error {
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := writeReport(report{Connected: time.Now().UnixNano()}); err != nil {
		return err
	}
	return orders(func(o order) error {
		r, err := publish(ctx, nc, o)
		if err != nil {
			r = report{Error: err.Error()}
		}
		return writeReport(r)
	})
}

// publish sends the events of an order and waits for their acknowledgements.
func publish(ctx context.Context, nc *nats.Conn, o order) (report, error) {
	var refused atomic.Int64
	js, err := jetstream.New(nc,
		jetstream.WithPublishAsyncMaxPending(o.Window),
		jetstream.WithPublishAsyncErrHandler(func(jetstream.JetStream, *nats.Msg, error) { refused.Add(1) }))
	if err != nil {
		return report{}, err
	}
	body, header := newBody(o.Size), modelOf(o.Header)
	before := mallocs()
	r, err := o.send(ctx, func(number int64) error {
		now := time.Now()
		msg := &nats.Msg{Subject: subject, Header: header.of(number, now), Data: bytes.Clone(body.stamp(number, now))}
		_, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute))
		return err
	})
	if err != nil {
		return report{}, err
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return report{}, context.Cause(ctx)
	}
	if n := refused.Load(); n > 0 {
		return report{}, fmt.Errorf("%d of %d events were not stored", n, o.Count)
	}
	r.Ended, r.Allocated = time.Now().UnixNano(), mallocs()-before
	return r, nil
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// model makes headers like those of a message that zoomstream has stored.
type model struct {
	names  []string
	values []string
}

func modelOf(h nats.Header) *model {
	m := &model{}
	for name, values := range h {
		m.names, m.values = append(m.names, name), append(m.values, values[0])
	}
	return m
}

// of returns the header of one event. Values that differ between events are its own, in the same
// length.
func (m *model) of(number int64, now time.Time) nats.Header {
	digits := fmt.Appendf(make([]byte, 0, 16), "%010d", number)
	h := make(nats.Header, len(m.names))
	for i, name := range m.names {
		value := m.values[i]
		switch name {
		case message.HeaderID, message.HeaderTrackingID:
			value = value[:len(value)-len(digits)] + string(digits)
		case message.HeaderSeq:
			value = strings.TrimLeft(string(digits), "0")
		case message.HeaderReceivedAt:
			value = now.UTC().Format("2006-01-02T15:04:05.000000000Z")[:len(value)-1] + "Z"
		}
		h[name] = []string{value}
	}
	return h
}
