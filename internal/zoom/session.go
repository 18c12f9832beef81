package zoom

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/rs/zerolog"
)

// heartbeat is the application-level beat (https://developers.zoom.us/docs/api/websockets/).
var heartbeat = []byte(`{"module":"heartbeat"}`)

// Session is a ready connection of one subscription. Run reads it, once.
type Session struct {
	cfg          Config
	conn         *websocket.Conn
	stream       *stream // below conn
	token        accessToken
	trial        *tokenTrial // of the token
	redact       redactor
	decoder      decoder
	buffer       bytes.Buffer // of the frame being read
	limited      io.LimitedReader
	currentFrame Frame // that is handled
	earlyFrames  []earlyFrame
	dialled      time.Time // when the upgrade was asked for
	start        time.Time

	lastFrame      atomic.Int64 // time since start of the last sign of life
	unansweredBeat atomic.Int64 // time since start of the first heartbeat after that
	beatSent       atomic.Int64 // time since start of the latest heartbeat, until it is answered
	roundTrip      atomic.Int64 // of the latest heartbeat that was answered
	ended          atomic.Int64 // time since start of the end of reading; 0: it goes on
	backlogSince   atomic.Int64 // time since start of the first frame that was not read in time; 0: none
	started        atomic.Bool  // Run has begun
	lastSent       atomic.Int64 // time since start by which Zoom sent the last frame that was read
	closeSent      atomic.Int64 // time since start at which this side closed; 0: it has not
	lastRunning    atomic.Int64 // time since start at which the process was last seen to run
	lastPause      atomic.Pointer[processPause]
	handlingSince  atomic.Int64 // time since start of the receipt of the frame that is handled, or was in vain; 0: none
	handlingSent   atomic.Int64 // Unix seconds of its sending; 0: not known
	beatNow        chan struct{}
	beatAnswered   atomic.Bool // a heartbeat was answered
	silent         atomic.Bool // the watchdog ended the session
	stopped        atomic.Bool // the context ended the session
	closeForced    atomic.Bool // and Zoom had not answered the close frame when it was closed
	unknownFrames  uint64      // frames of unknown modules
	sampledLog     zerolog.Logger
}

// processPause is a time in which the process did not run, as told by times since start.
type processPause struct{ from, to int64 }

type earlyFrame struct {
	raw      []byte
	size     int
	received time.Time
}

// Run hands each event and each malformed frame to handle, in order, until the
// session ends; it then returns why, as a *Error or handle's own error. While
// handle waits, heartbeats go on. When the context ends, the session is closed
// in an orderly way and the cause is CauseStopped.
//
// The frame is only valid during the call, its Body for ever.
func (s *Session) Run(ctx context.Context, handle func(*Frame) error) error {
	done := make(chan struct{})
	var keeper sync.WaitGroup
	keeper.Go(func() { s.keepAlive(ctx, done) })
	err := s.readFrames(handle)
	s.ended.Store(int64(time.Since(s.start)))
	close(done)
	keeper.Wait()
	s.conn.CloseNow() //nolint:errcheck // mostly closed already

	e, ours := errors.AsType[*Error](err)
	switch {
	case ours && e.Cause == CauseRefused:
		s.trial.refuse(s.token.value)
		s.cfg.Tokens.refused(s.token.value, true)
		if s.expired() {
			s.cfg.Tokens.LearnClosesAtExpiry()
		}
	case ours && s.silent.Load():
		return &Error{Cause: CauseSilent, Detail: fmt.Sprintf("no frame within two heartbeat periods (%s)", 2*s.cfg.Heartbeat)}
	case ours && s.stopped.Load() && e.Cause != CauseDisplaced:
		return &Error{Cause: CauseStopped, Detail: "closed on this side"}
	case ours && e.Cause == CauseClosed && s.expired():
		s.cfg.Tokens.LearnClosesAtExpiry()
	}
	return err
}

// LastFrame is when the session last gave a sign of life.
func (s *Session) LastFrame() time.Time { return s.start.Add(time.Duration(s.lastFrame.Load())) }

// ReadUntil is until when all that Zoom sent is known to be read, and handled without
// an error. It is the present unless Run has not begun, reading is behind, a frame is
// being handled, or the connection may be dead.
func (s *Session) ReadUntil() time.Time {
	if !s.started.Load() {
		return s.start
	}
	until := time.Duration(s.runningUntil(int64(time.Since(s.start))))
	if behind := time.Duration(s.backlogSince.Load()); behind > 0 {
		until = min(until, behind)
	}
	if inHand := time.Duration(s.handlingSince.Load()); inHand > 0 {
		var sent time.Time
		if by := s.handlingSent.Load(); by > 0 {
			sent = time.Unix(by, 0)
		}
		until = min(until, SentBy(sent, s.start.Add(inHand)).Sub(s.start))
	}
	if s.Unanswered() {
		until = min(until, time.Duration(s.lastFrame.Load()))
	}
	return s.start.Add(until)
}

// noteSent notes that a frame was read late, and that others may wait behind it.
func (s *Session) noteSent(sent, received time.Time) {
	by := received
	if !sent.IsZero() && sent.Before(received) {
		by = sent
	}
	s.lastSent.Store(max(int64(by.Sub(s.start)), 0)) // none was sent before the start
	// None was sent before the start, and frames come in the order of their sending.
	if from := ReadFrom(sent, received); from.Before(received) {
		s.backlogSince.Store(max(int64(from.Sub(s.start)), 1))
	} else if behind := s.backlogSince.Load(); behind > 0 && !sent.IsZero() {
		s.backlogSince.Store(max(behind, s.lastSent.Load()))
	}
}

// Dialled is when Zoom was asked for the connection: from then on it may have closed
// another one of the subscription for it.
func (s *Session) Dialled() time.Time { return s.dialled }

// LiveUntil is until when the session, which ended with the given error of Run,
// is known to have lived. A close by the other side comes after all that it sent,
// but may be read late by a process that stood still; after a close by this side
// the other one sends nothing more. A connection that broke, fell silent, was closed
// on this side while a heartbeat was unanswered, or before Zoom had answered the
// close frame, may have been dead, or have had frames unread, since Zoom sent the last
// frame that was read. A close may have been read up to a second late, as may the frame
// before it, but not before that was sent.
func (s *Session) LiveUntil(err error) time.Time {
	ended := s.ended.Load()
	until := s.runningUntil(ended)
	if behind := s.backlogSince.Load(); behind > 0 { // the end was read long after it came
		return s.start.Add(time.Duration(min(until, behind)))
	}
	e, ok := errors.AsType[*Error](err)
	switch {
	case s.closeForced.Load(), !ok || e.Cause == CauseReset || e.Cause == CauseSilent,
		e.Cause == CauseStopped && s.lastFrame.Load() < s.unansweredBeat.Load():
		until = min(s.lastFrame.Load(), s.lastSent.Load())
	case e.Cause == CauseStopped:
		until = max(s.closeSent.Load(), s.lastFrame.Load())
	case e.Cause == CauseClosed: // a shorter pause is not noticed, and the close may have come in it
		until = min(until, max(until-int64(ReadDelay), min(s.lastFrame.Load(), s.lastSent.Load())))
	}
	return s.start.Add(time.Duration(until))
}

const (
	runningPeriod = time.Second
	// pauseThreshold is how much later than that a process must be to count as one that
	// stood still.
	pauseThreshold = time.Second
)

// ReadDelay is how late the end of a session may have been read at most: a shorter pause of
// the process is not noticed.
const ReadDelay = pauseThreshold

// noteRunning notes that the process runs, and whether it did not until now.
func (s *Session) noteRunning() {
	now := int64(time.Since(s.start))
	before := s.lastRunning.Swap(now)
	if now-before > int64(runningPeriod+pauseThreshold) {
		s.lastPause.Store(&processPause{before, now})
	}
}

// runningUntil is the time from which on the process was seen to run without a break
// until a time: that time itself, or where it fell asleep if it has only just woken.
func (s *Session) runningUntil(until int64) int64 {
	if awake := s.lastRunning.Load(); until-awake > int64(runningPeriod+pauseThreshold) {
		return awake
	}
	if stood := s.lastPause.Load(); stood != nil && until-stood.to < int64(runningPeriod) {
		return stood.from
	}
	return until
}

// slowHandling is how long handling a frame takes at least that holds up reading, and
// unhurried what reading takes at least when nothing was there to be read.
const (
	slowHandling = 100 * time.Millisecond
	blockedRead  = 100 * time.Microsecond
)

// answerTime is how long Zoom may take to answer a heartbeat.
const answerTime = 5 * time.Second

// Unanswered reports whether a heartbeat was not answered in time, nor anything
// else heard since: the connection may have been dead since LastFrame.
func (s *Session) Unanswered() bool {
	beat := time.Duration(s.unansweredBeat.Load())
	return time.Duration(s.lastFrame.Load()) < beat && time.Since(s.start) > beat+answerTime
}

// RoundTrip is how long the latest answered heartbeat took; 0: none was.
func (s *Session) RoundTrip() time.Duration { return time.Duration(s.roundTrip.Load()) }

// noteAnswer notes the answer to a heartbeat.
func (s *Session) noteAnswer(received time.Time) {
	asked := s.beatSent.Swap(0)
	if asked == 0 {
		return
	}
	took := received.Sub(s.start) - time.Duration(asked)
	s.roundTrip.Store(int64(took))
	if s.cfg.Answered != nil {
		s.cfg.Answered(took)
	}
}

// Beat sends a heartbeat before it is due.
func (s *Session) Beat() {
	select {
	case s.beatNow <- struct{}{}:
	default:
	}
}

// RenewAt is when a new session would have a new token, well before this one's
// expires.
func (s *Session) RenewAt() time.Time { return s.token.asked.Add(s.token.renewal) }

// expiryGrace is how long after the expiry of a token, and a heartbeat, an end
// still counts as its consequence; clocks and requests take their time.
const expiryGrace = 15 * time.Second

func (s *Session) expired() bool {
	age := time.Since(s.token.asked)
	return age > s.token.life-time.Second && age < s.token.life+s.cfg.Heartbeat+expiryGrace
}

// Useful reports whether the session was of use: a heartbeat was answered, and
// it lived for at least a heartbeat period. Only then may pauses between
// connections shrink again, or two clients that displace one another would
// never slow down.
func (s *Session) Useful() bool {
	return s.beatAnswered.Load() && time.Duration(s.lastFrame.Load()) >= s.cfg.Heartbeat
}

func (s *Session) readFrames(handle func(*Frame) error) error {
	for _, f := range s.earlyFrames {
		if err := s.handleFrame(f.raw, f.size, f.received, handle); err != nil {
			return err
		}
	}
	s.earlyFrames = nil
	s.started.Store(true)
	received := time.Now()
	for {
		asked := time.Now()
		raw, size, err := s.readFrame(context.Background()) // keepAlive closes the connection
		if asked.Sub(received) > slowHandling && s.backlogSince.Load() == 0 {
			s.backlogSince.Store(int64(received.Sub(s.start)))
		}
		received = time.Now()
		if received.Sub(asked) > blockedRead { // it had to wait: nothing older is unread
			s.backlogSince.Store(0)
		}
		if err != nil {
			return endError(err, s.redact)
		}
		s.lastFrame.Store(int64(received.Sub(s.start)))
		if err := s.handleFrame(raw, size, received, handle); err != nil {
			return err
		}
	}
}

// readFrame reads one frame, text or binary, into the session's buffer. Of a
// frame over the limit only the beginning is kept; the rest is read over, since
// no frame may end the connection.
func (s *Session) readFrame(ctx context.Context) (raw []byte, size int, err error) {
	s.currentFrame = Frame{} // it must not hold a body while none comes
	_, r, err := s.conn.Reader(ctx)
	if err != nil {
		return nil, 0, err
	}
	if s.buffer.Cap() > 1<<20 {
		s.buffer, s.decoder.text = bytes.Buffer{}, nil // one huge frame must not hold its memory for ever
	}
	s.buffer.Reset()
	s.limited = io.LimitedReader{R: r, N: s.cfg.ReadLimit}
	kept, err := s.buffer.ReadFrom(&s.limited)
	if err != nil {
		return nil, 0, err
	}
	rest, err := int64(0), error(nil)
	if kept == s.cfg.ReadLimit {
		rest, err = io.Copy(io.Discard, r)
	}
	return s.buffer.Bytes(), int(kept + rest), err
}

// handleFrame decides on one frame.
func (s *Session) handleFrame(raw []byte, size int, received time.Time, handle func(*Frame) error) error {
	f := &s.currentFrame
	if size > len(raw) {
		*f = Frame{Raw: raw, Size: size, Received: received,
			Err: &Malformed{"too_large", fmt.Sprintf("the frame has %d bytes, more than the read limit of %d", size, s.cfg.ReadLimit)}}
		return s.callHandler(handle, f)
	}
	env, err := s.decoder.envelope(raw)
	*f = Frame{Raw: raw, Size: size, Received: received, Sent: env.header.sent(received), Header: env.header, Err: err}
	s.noteSent(f.Sent, received)
	event := false
	switch {
	case err == nil && env.module == moduleMessage:
		var e eventFields
		e, f.Err = s.decoder.event(env)
		f.Event, f.Keys, f.Body = e.name, e.keys, env.content
		f.Happened = plausible(time.UnixMilli(e.happened), received)
		event = f.Err == nil
	default:
		event = carriesEvent(env)
		if err == nil {
			f.Err = unexpectedModule(env, event)
		}
	}
	if f.Err != nil || env.module == moduleMessage {
		if err := s.callHandler(handle, f); err != nil {
			return err
		}
	}
	if e := s.refusalError(env, raw, event); e != nil {
		return e
	}
	switch env.module {
	case moduleHeartbeat:
		s.beatAnswered.Store(true)
		s.noteAnswer(received)
	case moduleMessage, moduleBuild, "":
	default:
		s.unknownFrames++
		s.sampledLog.Warn().Str("code", "zoom.unknown_module").Str("module", strconv.QuoteToASCII(s.redact.text(env.module))).Uint64("count", s.unknownFrames).Msg("frame of an unknown module")
	}
	return nil
}

func (s *Session) callHandler(handle func(*Frame) error, f *Frame) error {
	s.handlingSent.Store(max(f.Sent.Unix(), 0))
	s.handlingSince.Store(int64(max(f.Received.Sub(s.start), 1)))
	err := handle(f)
	if err == nil {
		s.handlingSince.Store(0)
	}
	return err
}

// maxNotice is the longest frame that may be a notice of displacement: nobody
// has published its form, so the text is looked for in any short frame that is
// no event.
const maxNotice = 512

// refusalError reports a frame that says that this connection is not, or no longer,
// wanted. In one that carries an event that is said by success alone.
func (s *Session) refusalError(env envelope, raw []byte, event bool) *Error {
	if (!event || env.refused) && len(raw) <= maxNotice && reportsDisplacement(string(raw)) {
		return &Error{Cause: CauseDisplaced, Detail: "another connection of the subscription took over"}
	}
	if !env.refused {
		return nil
	}
	detail := fmt.Sprintf("module %q, success false", s.redact.text(env.module))
	if env.module != moduleMessage && !event { // an event's body is not for logs
		detail += fmt.Sprintf(": %q", s.redact.text(string(env.content)))
	}
	if env.module == moduleBuild {
		detail += "; if that stays, check in Zoom's Marketplace that the app is activated and the subscription is its own"
	}
	return &Error{Cause: CauseRefused, Detail: s.redact.text(detail)}
}

// keepAlive sends heartbeats, ends a silent session, and closes the connection when
// the context ends.
func (s *Session) keepAlive(ctx context.Context, done <-chan struct{}) {
	beat := time.NewTicker(s.cfg.Heartbeat)
	defer beat.Stop()
	watch := time.NewTimer(2 * s.cfg.Heartbeat)
	defer watch.Stop()
	awake := time.NewTicker(runningPeriod)
	defer awake.Stop()
	s.noteRunning()
	s.lastFrame.Store(int64(time.Since(s.start)))
	s.sendHeartbeat(ctx)
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			s.closeGracefully(done)
			return
		case <-beat.C:
			s.sendHeartbeat(ctx)
		case <-s.beatNow:
			s.sendHeartbeat(ctx)
		case <-awake.C:
			s.noteRunning()
		case <-watch.C:
			left := s.untilSilent()
			if left <= 0 {
				s.silent.Store(true)
				s.conn.CloseNow() //nolint:errcheck // Run reports how it ended
				return
			}
			watch.Reset(left)
		}
	}
}

// closeGracefully closes the session in an orderly way: what Zoom sent before it learned
// of the end is still read.
func (s *Session) closeGracefully(done <-chan struct{}) {
	s.stopped.Store(true)
	s.closeSent.Store(int64(time.Since(s.start)))
	var closer sync.WaitGroup
	defer closer.Wait()
	closer.Go(func() {
		if !s.awaitClose(done) {
			s.closeForced.Store(true)
		}
		s.conn.CloseNow() //nolint:errcheck // Run reports how it ended
	})
	s.stream.sendClose() //nolint:errcheck // a broken connection shows in the reader
}

// awaitClose waits for the end of a session that is to end, as long as frames come or are
// handled, and reports whether it has come.
func (s *Session) awaitClose(done <-chan struct{}) bool {
	longest := time.NewTimer(maxCloseTime)
	defer longest.Stop()
	for wait := closeTimeout; wait > 0; {
		quiet := time.NewTimer(wait)
		select {
		case <-done:
			quiet.Stop()
			return true
		case <-longest.C:
			quiet.Stop()
			return false
		case <-quiet.C:
		}
		if wait = closeTimeout - time.Since(s.LastFrame()); s.handlingSince.Load() > 0 {
			wait = closeTimeout
		}
	}
	return false
}

// sendHeartbeat sends a heartbeat. A peer that takes none until the session would count
// as silent is just that; another failure shows in the reader.
func (s *Session) sendHeartbeat(ctx context.Context) {
	patience := s.untilSilent()
	if patience <= 0 {
		return
	}
	ctx, release := withGracePeriod(ctx, closeTimeout) // a write cut short would end the connection
	defer release()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	now := int64(time.Since(s.start))
	if s.lastFrame.Load() >= s.unansweredBeat.Load() {
		s.unansweredBeat.Store(now)
	}
	s.beatSent.Store(max(now, 1)) // 0 is none
	err := s.conn.Write(ctx, websocket.MessageText, heartbeat)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		s.silent.Store(true) // the library has closed the connection
		return
	}
	if err != nil && ctx.Err() != nil {
		s.closeForced.Store(true) // likewise: it took too long when the session was to end
		return
	}
	if err != nil {
		s.cfg.Log.Debug().Str("code", "zoom.heartbeat").Str("error", s.redact.error(err)).Msg("heartbeat not sent")
	}
}

func (s *Session) untilSilent() time.Duration {
	now := time.Since(s.start)
	if s.handlingSince.Load() > 0 { // silence is our own
		s.lastFrame.Store(int64(now))
	}
	return time.Duration(s.lastFrame.Load()) + 2*s.cfg.Heartbeat - now
}
