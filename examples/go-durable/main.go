// Command go-durable writes one line into a file for each event of a meeting: exactly once, whatever crashes, and in the
// stream's order.
//
// The effect happens once because the line holds the message's id. The effect and the record of it are a single write, so
// a crash leaves both or neither. A second delivery finds the id and is only acknowledged. With a database, store the id
// as a key in the same transaction as the effect; with an HTTP API, send it as the idempotency key.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/message"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, "go-durable.jsonl"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, path string) error {
	file, done, err := openLedger(path)
	if err != nil {
		return err
	}
	defer file.Close()
	nc, err := nats.Connect(cmp.Or(os.Getenv("NATS_URL"), "nats://127.0.0.1:4222"), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	// One message at a time: with more, those in hand at a crash would be redelivered after newer ones.
	consumer, err := js.CreateOrUpdateConsumer(ctx, "ZOOM", jetstream.ConsumerConfig{
		Durable: "go-durable", FilterSubject: "zoom.meeting.>", MaxAckPending: 1, AckWait: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages() // not PullMaxMessages(1), with which nats.go 1.55 may wait for half a minute
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, messages.Stop)()
	log.Printf("%s has %d events; reading on", path, len(done))
	for {
		msg, err := messages.Next()
		switch {
		case errors.Is(err, jetstream.ErrMsgIteratorClosed): // by Stop
			return nil
		case err != nil: // somebody has deleted the consumer, for example: start again
			return err
		}
		if h := message.ParseHeaders(msg.Headers()); !done[h.ID] {
			if err := write(file, entry{h.ID, h.Event, h.ObjectID}); err != nil {
				return err // not acknowledged: it will be redelivered
			}
			done[h.ID] = true
		}
		if err := msg.Ack(); err != nil {
			return err
		}
	}
}

// entry is a line of the file: the effect.
type entry struct{ ID, Event, Object string }

// write appends a line and returns once it is on disk.
func write(file *os.File, e entry) error {
	if err := json.NewEncoder(file).Encode(e); err != nil { // one write
		return err
	}
	return file.Sync()
}

// openLedger returns the file and the ids in it. Only one process may use the file.
func openLedger(path string) (*os.File, map[string]bool, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, nil, err
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1] // the rest is a line cut short by a crash
	done := make(map[string]bool)
	for line := range bytes.Lines(text) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		done[e.ID] = true
	}
	return file, done, file.Truncate(int64(len(text)))
}
