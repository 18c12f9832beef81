package inspect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// errGone is the error after which a Tail without Follow stops waiting for NATS.
var errGone = fmt.Errorf("the connection to the server was interrupted, and was not restored within %s", patience)

// retryPause is how long Tail waits before it continues.
const retryPause = 200 * time.Millisecond

// Tail passes the messages of a query to each, in the stream's order, and returns how many it has
// examined. Without Follow it ends where the stream ended at the start. With Follow it ends without
// an error when ctx does.
//
// If reading is interrupted, it continues where it was. notice gets what somebody should know about
// that: a sentence without a full stop. With Follow it tries for ever, otherwise as long as it
// makes progress.
func (s *Stream) Tail(ctx context.Context, q TailQuery, each func(*Message) error, notice func(string)) (looked uint64, err error) {
	breaks := s.js.Conn().StatusChanged(nats.RECONNECTING, nats.CLOSED)
	defer s.js.Conn().RemoveStatusListener(breaks)
	t := &tail{stream: s, query: q, filter: newTailFilter(q, s.prefix), each: each, notice: notice, breaks: breaks}
	err = t.run(ctx)
	if q.Follow && ctx.Err() != nil {
		err = nil
	}
	return t.looked, err
}

// tail is one call of Tail.
type tail struct {
	stream *Stream
	query  TailQuery
	filter tailFilter
	each   func(*Message) error
	notice func(string)
	breaks <-chan nats.Status // signals that the connection broke

	created time.Time // the stream's creation time
	next    uint64    // sequence to continue from; 0: unknown, so the query's time applies
	last    uint64    // last sequence to read, without Follow
	looked  uint64
	trouble string // last notice since a message was read
}

// handlerError marks an error of each.
type handlerError struct{ error }

func (e handlerError) Unwrap() error { return e.error }

func (t *tail) run(ctx context.Context) error {
	info, err := t.stream.info(ctx)
	if err != nil {
		return err
	}
	t.created, t.last = info.Created, info.State.LastSeq
	if t.query.Follow && t.query.Since.IsZero() {
		t.next = t.last + 1
	}
	r, err := t.open(ctx)
	if err != nil {
		return err
	}
	if t.query.Follow {
		t.notice("following stream " + t.stream.name + t.place())
	}
	for {
		before := t.looked
		err := t.read(ctx, r)
		if err == nil || t.ends(ctx, err, t.looked > before) {
			return err
		}
		if r, err = t.reopen(ctx, err); err != nil {
			return err
		}
	}
}

// ends reports whether an error ends the tail. One after progress does not.
func (t *tail) ends(ctx context.Context, err error, progress bool) bool {
	if _, handler := errors.AsType[handlerError](err); handler || ctx.Err() != nil {
		return true
	}
	if errors.Is(err, nats.ErrPermissionViolation) || t.stream.js.Conn().IsClosed() {
		return true
	}
	return !t.query.Follow && !progress && !errors.Is(err, errLost)
}

// open creates a reader that starts at the tail's position.
func (t *tail) open(ctx context.Context) (*reader, error) {
	for len(t.breaks) > 0 { // drop earlier signals
		<-t.breaks
	}
	l := look{subjects: t.filter.subjects(), since: t.query.Since, from: t.next}
	return t.stream.newReader(ctx, l)
}

// read passes on what a reader has, and closes it. The error is nil if there is no more.
func (t *tail) read(ctx context.Context, r *reader) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer r.close(ctx)
	var watcher sync.WaitGroup
	defer watcher.Wait()
	defer cancel(nil)
	// A message sent while the connection breaks is lost. If it was the last one, no later sequence
	// reveals that.
	watcher.Go(func() {
		select {
		case <-t.breaks:
			cancel(errLost)
		case <-ctx.Done():
		}
	})
	for t.query.Follow || r.pending > 0 {
		m, err := t.nextOf(ctx, r)
		if err != nil {
			return err
		}
		if !t.query.Follow && m.Sequence > t.last {
			return nil
		}
		t.looked, t.next = t.looked+1, m.Sequence+1
		if !t.filter.matches(m) {
			continue
		}
		if err := t.each(m); err != nil {
			return handlerError{err}
		}
	}
	return nil
}

// nextOf waits for a message, with Follow without limit.
func (t *tail) nextOf(ctx context.Context, r *reader) (*Message, error) {
	if t.query.Follow {
		return r.next(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errStalled)
	defer cancel()
	return r.next(ctx)
}

// reopen creates a reader that continues after the last message.
func (t *tail) reopen(ctx context.Context, why error) (*reader, error) {
	nc := t.stream.js.Conn()
	if !t.query.Follow {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, patience, errGone)
		defer cancel()
	}
	t.trouble = ""
	for {
		if !nc.IsConnected() || errors.Is(why, errLost) && t.trouble == "" {
			t.say("the connection to NATS was interrupted; waiting for it")
		}
		r, err := t.openBehind(ctx)
		if err == nil {
			return r, nil
		}
		if ctx.Err() != nil {
			return nil, t.stream.failed(ctx, why)
		}
		if t.ends(ctx, err, true) {
			return nil, err
		}
		if nc.IsConnected() {
			t.say(err.Error() + "; trying again")
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return nil, t.stream.failed(ctx, why)
		}
	}
}

// openBehind creates a reader, and reports what has happened to the stream meanwhile.
func (t *tail) openBehind(ctx context.Context) (*reader, error) {
	info, err := t.stream.info(ctx)
	if err != nil {
		return nil, err
	}
	if !info.Created.Equal(t.created) {
		t.notice(fmt.Sprintf("stream %s was deleted and recreated; reading it from its beginning", t.stream.name))
		t.created, t.next, t.last = info.Created, 1, info.State.LastSeq
	}
	r, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	switch removed := info.State.FirstSeq; {
	case t.next > 0 && removed > t.next:
		t.notice(fmt.Sprintf("stream %s has removed the messages #%d to #%d meanwhile; continuing after them", t.stream.name, t.next, removed-1))
	case t.trouble != "":
		t.notice("continuing" + t.place())
	}
	return r, nil
}

func (t *tail) place() string {
	if t.next == 0 {
		return ""
	}
	return fmt.Sprintf(" from message #%d", t.next)
}

// say gives a notice, unless it is the same as the last one.
func (t *tail) say(trouble string) {
	if t.trouble != trouble {
		t.trouble = trouble
		t.notice(trouble)
	}
}
