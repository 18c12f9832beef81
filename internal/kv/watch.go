package kv

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// watchHeartbeat is how often the server sends a heartbeat if there is nothing new.
	watchHeartbeat = 5 * time.Second
	// watchSilence is how long the server may send nothing at all before watching starts
	// again.
	watchSilence = 2*watchHeartbeat + time.Second
	// watchBuffer entries may wait for f; if there are more, watching starts again.
	watchBuffer = 4096
)

// Watch calls f, one call at a time, with the entries that match a pattern and with
// each change, until the context ends. What it reports is a hint, not proof: it can be
// silent for 17 s after a NATS node has died, and may repeat itself.
//
// It does not use nats.go's watcher, which holds a mutex while it waits for the server's
// answer; entries that arrive before the answer then have to wait for that mutex.
func (b *Bucket) Watch(ctx context.Context, pattern string, f func(key string, e Entry)) {
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(30*time.Second), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		began := time.Now()
		b.watch(ctx, pattern, f)
		if time.Since(began) > watchHeartbeat {
			pause.Reset()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// watch watches until it may have missed something.
func (b *Bucket) watch(ctx context.Context, pattern string, f func(string, Entry)) {
	nc := b.js.Conn()
	connected := nc.StatusChanged(nats.CONNECTED) // after a reconnection the consumer may be gone
	defer nc.RemoveStatusListener(connected)
	inbox, messages := nc.NewInbox(), make(chan *nats.Msg, watchBuffer)
	sub, err := nc.ChanSubscribe(inbox, messages)
	if err != nil {
		return
	}
	defer sub.Unsubscribe() //nolint:errcheck // then the connection is gone
	// The consumer is not deleted, since that may wait 5 s for an answer: the server forgets
	// a consumer without a listener.
	asking, cancel := context.WithTimeout(ctx, watchHeartbeat)
	defer cancel()
	_, err = b.js.CreatePushConsumer(asking, b.stream(), jetstream.ConsumerConfig{
		DeliverSubject: inbox, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, AckPolicy: jetstream.AckNonePolicy, FilterSubject: b.subject(pattern),
		IdleHeartbeat: watchHeartbeat, MaxDeliver: 1, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return
	}
	silence := time.NewTimer(watchSilence)
	defer silence.Stop()
	for told := uint64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-connected:
			return
		case <-silence.C:
			return
		case msg := <-messages:
			silence.Reset(watchSilence)
			if msg.Header.Get("Status") != "" {
				if last := msg.Header.Get("Nats-Last-Consumer"); last != strconv.FormatUint(told, 10) {
					return // entries are lost, or the consumer is
				}
				continue
			}
			meta, err := msg.Metadata()
			key, ours := strings.CutPrefix(msg.Subject, b.subject(""))
			if err != nil || !ours || meta.Sequence.Consumer != told+1 {
				return
			}
			told++
			f(key, entry(meta.Sequence.Stream, msg.Header, msg.Data))
		}
	}
}
