// Command go-workers is one of several workers that share the events: all events of a meeting go to one worker, in the
// stream's order, even after kill -9.
//
// A shared durable consumer cannot do that: what a crashed worker had in hand is redelivered after newer events. So each
// worker reads the whole stream from its own checkpoint, and handles only the meetings whose hash selects it.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/message"
)

func main() {
	worker := flag.Int("worker", 0, "number of this worker, from 0")
	of := flag.Int("of", 1, "number of workers; each has a checkpoint for this number, and none for another one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *worker, *of); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, worker, of int) error {
	if worker < 0 || worker >= of {
		return fmt.Errorf("there is no worker %d of %d", worker, of)
	}
	file, last, err := openHandled(fmt.Sprintf("worker-%d-of-%d.jsonl", worker, of))
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
	stream, err := js.Stream(ctx, "ZOOM")
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State
	if last > state.LastSeq { // or it would wait silently until the new stream is as long
		return fmt.Errorf("the checkpoint is %d and the stream ends at %d: it is another stream", last, state.LastSeq)
	}
	if last > 0 && last+1 < state.FirstSeq {
		log.Printf("events between %d and %d have left the stream", last, state.FirstSeq)
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: last + 1,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, messages.Stop)()
	log.Printf("%s: reading from %d on", file.Name(), last+1)
	for {
		msg, err := messages.Next()
		switch {
		case errors.Is(err, jetstream.ErrMsgIteratorClosed): // by Stop
			return nil
		case err != nil:
			return err
		}
		h := message.ParseHeaders(msg.Headers())
		if message.KindOf("zoom", msg.Subject()) != message.KindEvent || workerOf(keyOf(h), of) != worker {
			continue
		}
		if err := handle(file, msg, h); err != nil {
			return err
		}
	}
}

// keyOf is the key within which order is kept: the meeting or another object, else the account.
func keyOf(h message.Headers) string { return cmp.Or(h.ObjectID, h.Account) }

func workerOf(key string, of int) int {
	hash := fnv.New32a()
	hash.Write([]byte(key))
	return int(hash.Sum32() % uint32(of))
}

// handled is a line of the file. It holds the effect and, as its sequence number, the checkpoint: both in a single write,
// so that the effect happens once. With a database, use one transaction.
type handled struct {
	Seq            uint64
	Key, ID, Event string
}

func handle(file *os.File, msg jetstream.Msg, h message.Headers) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	line := handled{meta.Sequence.Stream, keyOf(h), h.ID, h.Event}
	if err := json.NewEncoder(file).Encode(line); err != nil {
		return err
	}
	return file.Sync()
}

// openHandled returns the file, and the sequence number of its last whole line.
func openHandled(path string) (*os.File, uint64, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, 0, err
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1] // the rest is a line cut short by a crash
	var last handled
	for line := range bytes.Lines(text) {
		if err := json.Unmarshal(line, &last); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", path, err)
		}
	}
	return file, last.Seq, file.Truncate(int64(len(text)))
}
