package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// ErrFull means that the spool has reached its maximum size.
var ErrFull = errors.New("the spool is full; it is bounded by ZOOMSTREAM_SPOOL_MAX")

// ErrDamaged means that records can no longer be read.
var ErrDamaged = errors.New("records are damaged")

const (
	streamName    = "SPOOL"
	subjectPrefix = "spool."
	// syncInterval bounds what a crash of the machine loses; a crash of the process alone
	// loses nothing.
	syncInterval = 100 * time.Millisecond
	// maxRecord is above the longest frame that is ever kept, in bytes.
	maxRecord = 64 << 20
	// openTimeout bounds how long it may take to read back a full folder.
	openTimeout = 30 * time.Second
	// readBytes is about how many bytes are read at once.
	readBytes = 4 << 20
	// answerTimeout bounds one operation. JetStream does not answer at all when
	// the disk refuses a write.
	answerTimeout = 2 * time.Second
)

// Log is the content of a Folder. It is not safe for concurrent use.
type Log struct {
	folder   *Folder
	srv      *server.Server
	nc       *nats.Conn
	js       jetstream.JetStream
	stream   jetstream.Stream
	consumer jetstream.Consumer
	next     uint64 // sequence that the consumer delivers next
	lost     uint64
	first    uint64
	last     uint64
	bytes    uint64
}

// Open starts the server and reads back what is in the folder. It copes with whatever a
// crash left: a torn record at the end is cut off. The Log accepts up to max bytes.
func (f *Folder) Open(ctx context.Context, max int64, log zerolog.Logger) (l *Log, err error) {
	err = f.do("open", func() (err error) {
		l, err = f.start(ctx, max, log)
		return err
	})
	if err != nil && l != nil {
		l.shutDown()
		return nil, err
	}
	return l, err
}

func (f *Folder) start(ctx context.Context, max int64, log zerolog.Logger) (*Log, error) {
	srv, err := server.NewServer(&server.Options{
		ServerName: "zoomstream-spool", DontListen: true, NoSigs: true, NoSystemAccount: true, DisableJetStreamBanner: true,
		JetStream: true, StoreDir: f.dir, SyncInterval: syncInterval,
		JetStreamMaxMemory: 1 << 20, JetStreamMaxStore: math.MaxInt64, MaxPayload: maxRecord, MaxPending: 4 * maxRecord,
	})
	if err != nil {
		return nil, fmt.Errorf("spool %s: %w", f.dir, err)
	}
	failed := &serverLog{log: log.With().Str("component", "spool").Logger()}
	srv.SetLoggerV2(failed, false, false, false)
	l := &Log{folder: f, srv: srv}
	srv.Start()
	if err := l.open(ctx, max, failed); err != nil {
		l.shutDown()
		return nil, fmt.Errorf("spool %s: %w", f.dir, err)
	}
	return l, nil
}

func (l *Log) open(ctx context.Context, max int64, failed *serverLog) (err error) {
	if err := failed.err(); err != nil {
		return err
	}
	if !l.srv.ReadyForConnections(openTimeout) {
		return errors.New("its server does not start")
	}
	if l.nc, err = nats.Connect("", nats.InProcessServer(l.srv), nats.NoReconnect(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})); err != nil {
		return err
	}
	if l.js, err = jetstream.New(l.nc, jetstream.WithDefaultTimeout(answerTimeout)); err != nil {
		return err
	}
	l.stream, err = l.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{ // it is ours alone; its maximum size may have changed
		Name: streamName, Subjects: []string{subjectPrefix + ">"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxBytes: max, Duplicates: 100 * time.Millisecond, // records have no ids: see headerID
	})
	if err != nil {
		return err
	}
	if err := l.folder.sync(); err != nil {
		return err
	}
	if l.lost, err = l.lostBytes(ctx); err != nil {
		return err
	}
	state := l.stream.CachedInfo().State
	l.first, l.last, l.bytes = state.FirstSeq, state.LastSeq, state.Bytes
	if state.Msgs == 0 {
		l.first = l.last + 1
	}
	return nil
}

// lostBytes asks the server how many bytes its file store could not read when it was opened.
func (l *Log) lostBytes(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	answer, err := l.nc.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+streamName, []byte(`{"deleted_details":true}`))
	if err != nil {
		return 0, err
	}
	var info struct {
		State struct {
			Lost struct{ Bytes uint64 }
		}
	}
	if err := json.Unmarshal(answer.Data, &info); err != nil {
		return 0, err
	}
	return info.State.Lost.Bytes, nil
}

// Lost is the number of bytes that could not be read when the Log was opened.
func (l *Log) Lost() uint64 { return l.lost }

// First is the sequence of the oldest record, or of the next one if there is none.
func (l *Log) First() uint64 { return l.first }

// Last is the sequence of the newest record. If it is below First, there is none.
func (l *Log) Last() uint64 { return l.last }

// Bytes is about how many bytes the records take on disk.
func (l *Log) Bytes() uint64 { return l.bytes }

// Append adds messages. after is the last known sequence of the stream that they are
// meant for. Once Append has returned nil, they survive a crash of the process. When it
// fails, Last shows how many of them were added, always the first ones. If the error is
// not ErrFull, the Log must be closed.
func (l *Log) Append(ctx context.Context, msgs []*nats.Msg, after uint64) error {
	return l.folder.do("append", func() error { return l.append(ctx, msgs, after) })
}

func (l *Log) append(ctx context.Context, msgs []*nats.Msg, after uint64) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	futures := make([]jetstream.PubAckFuture, 0, len(msgs))
	for i, msg := range msgs {
		// With the expected sequence nothing is stored after a message that failed.
		future, err := l.js.PublishMsgAsync(toRecord(msg, after), jetstream.WithExpectLastSequence(l.last+uint64(i)))
		if err != nil {
			return fmt.Errorf("write to spool %s: %w", l.folder.dir, err)
		}
		futures = append(futures, future)
	}
	stored, err := 0, error(nil)
	for _, future := range futures {
		select {
		case <-future.Ok():
			stored++
			continue
		case err = <-future.Err():
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		break
	}
	for _, future := range futures[:stored] {
		l.bytes += uint64(future.Msg().Size())
	}
	l.last += uint64(stored)
	switch {
	case stored == len(msgs):
		return nil
	case full(err):
		return fmt.Errorf("spool %s: %w", l.folder.dir, ErrFull)
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("the disk refuses it, or is too slow") // JetStream's log says which
	}
	return fmt.Errorf("write to spool %s: %w", l.folder.dir, err)
}

// full reports whether the server refused a message because the maximum size is reached.
func full(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == codeStoreFailed && api.Description == server.ErrMaxBytes.Error()
}

// codeStoreFailed is JetStream's "failed to store" (nats-server,
// server/errors.json).
const codeStoreFailed = 10077

// Newest returns the headers of the newest message of each subscription.
func (l *Log) Newest(ctx context.Context) (newest []nats.Header, err error) {
	err = l.folder.do("newest", func() (err error) {
		newest, err = l.newest(ctx)
		return err
	})
	return newest, err
}

func (l *Log) newest(ctx context.Context) ([]nats.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	info, err := l.stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return nil, fmt.Errorf("read spool %s: %w", l.folder.dir, err)
	}
	var newest []nats.Header
	for subject := range info.State.Subjects {
		raw, err := l.stream.GetLastMsgForSubject(ctx, subject)
		if err != nil {
			return nil, fmt.Errorf("read spool %s: %w", l.folder.dir, err)
		}
		newest = append(newest, raw.Header)
	}
	return newest, nil
}

// Read returns records from a sequence on, in order: at least one, at most most, and about
// 4 MiB. Records missing from their sequences are damaged; the error wraps ErrDamaged if
// all the rest is. It is an error if there is no record from that sequence on. Read is fast
// as long as each call continues where the last one ended.
func (l *Log) Read(ctx context.Context, from uint64, most int) (records []Record, err error) {
	err = l.folder.do("read", func() (err error) {
		records, err = l.read(ctx, from, most)
		return err
	})
	return records, err
}

func (l *Log) read(ctx context.Context, from uint64, most int) ([]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	most = min(most, int(l.last+1-max(from, l.first)))
	if most <= 0 {
		return nil, fmt.Errorf("read spool %s: there is no record %d", l.folder.dir, from)
	}
	if average := l.bytes / (l.last + 1 - l.first); average > 0 {
		most = min(most, max(1, readBytes/int(average)))
	}
	records := l.fetch(ctx, from, most)
	if len(records) == 0 { // the consumer is gone or does not know the newest records yet, or something is wrong: readOne finds out
		l.consumer = nil
		record, err := l.readOne(ctx, from)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	l.next = records[len(records)-1].Sequence + 1
	return records, nil
}

// fetch reads records with the consumer, as many as it delivers in order, perhaps none.
// The server forgets a consumer that is unused for a minute.
func (l *Log) fetch(ctx context.Context, from uint64, most int) (records []Record) {
	if l.seek(ctx, from) != nil {
		return nil
	}
	batch, err := l.consumer.FetchNoWait(most)
	if err != nil {
		return nil
	}
	next := from
	for msg := range batch.Messages() {
		meta, err := msg.Metadata()
		if err != nil || meta.Sequence.Stream < next {
			continue // already read by readOne
		}
		record, err := fromRecord(msg.Headers(), msg.Data(), meta.Sequence.Stream, meta.Timestamp)
		if err != nil || record.Sequence > next {
			l.consumer = nil // it has lost its place, after a pause for example, or something is damaged: readOne finds out
			break
		}
		records = append(records, record)
		next++
	}
	return records
}

// readOne reads the first intact record from a sequence on.
func (l *Log) readOne(ctx context.Context, from uint64) (Record, error) {
	for next := from; ; {
		raw, err := l.stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(subjectPrefix+">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return Record{}, fmt.Errorf("read spool %s: %d %w", l.folder.dir, l.last+1-from, ErrDamaged)
		}
		if err != nil {
			return Record{}, fmt.Errorf("read spool %s: %w", l.folder.dir, err)
		}
		if record, err := fromRecord(raw.Header, raw.Data, raw.Sequence, raw.Time); err == nil {
			return record, nil
		}
		next = raw.Sequence + 1 // damaged
	}
}

// seek makes the consumer deliver from a sequence on.
func (l *Log) seek(ctx context.Context, from uint64) (err error) {
	if l.consumer != nil && l.next == from {
		return nil
	}
	l.consumer, err = l.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		MemoryStorage: true, InactiveThreshold: time.Minute,
	})
	return err
}

// Remove removes the records up to and including a sequence.
func (l *Log) Remove(ctx context.Context, through uint64) error {
	return l.folder.do("remove", func() error { return l.remove(ctx, through) })
}

func (l *Log) remove(ctx context.Context, through uint64) error {
	if through < l.first {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := l.stream.Purge(ctx, jetstream.WithPurgeSequence(through+1)); err != nil {
		return fmt.Errorf("remove from spool %s: %w", l.folder.dir, err)
	}
	info, err := l.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("remove from spool %s: %w", l.folder.dir, err)
	}
	l.first, l.bytes = through+1, info.State.Bytes
	return nil
}

// Close stops the server, which syncs its files. An empty Log leaves no files. The
// Log cannot be used afterwards, even after an error.
func (l *Log) Close() error {
	if l.first > l.last {
		return l.Discard()
	}
	err := l.folder.do("close", func() error {
		l.shutDown()
		return nil
	})
	l.shutDown() // no effect if it is already done
	return err
}

func (l *Log) shutDown() {
	if l.nc != nil {
		l.nc.Close()
	}
	l.srv.Shutdown()
	l.srv.WaitForShutdown()
}

// Discard closes the Log and removes its files with everything in them. The Log cannot be
// used afterwards, even after an error.
func (l *Log) Discard() error {
	l.shutDown()
	return l.folder.do("discard", func() error {
		if err := os.RemoveAll(l.folder.store()); err != nil {
			return fmt.Errorf("empty spool: %w", err)
		}
		return nil
	})
}
