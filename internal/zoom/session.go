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

// Session is a ready connection of one subscription. Call Run once to read it. The other
// methods are safe for concurrent use.
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
	currentFrame Frame // being handled
	earlyFrames  []earlyFrame
	dialled      time.Time // when the upgrade was requested
	start        time.Time

	lastFrame      atomic.Int64 // time since start of the last sign of life
	unansweredBeat atomic.Int64 // time since start of the first heartbeat after that
	beatSent       atomic.Int64 // time since start of the latest heartbeat, until it is answered
	roundTrip      atomic.Int64 // of the latest heartbeat that was answered
	ended          atomic.Int64 // time since start of the end of reading; 0: it goes on
	backlogSince   atomic.Int64 // time since start from which frames may be unread; 0: none are
	started        atomic.Bool  // Run has handled the early frames and reads on
	lastSent       atomic.Int64 // time since start by which Zoom sent the last frame that was read
	closeSent      atomic.Int64 // time since start at which this side closed; 0: it has not
	lastRunning    atomic.Int64 // time since start at which the process was last seen to run
	lastPause      atomic.Pointer[processPause]
	handlingSince  atomic.Int64 // time since start of the receipt of the frame being handled, or whose handling failed; 0: none
	handlingSent   atomic.Int64 // Unix seconds of its sending; 0: unknown
	beatNow        chan struct{}
	beatAnswered   atomic.Bool // a heartbeat was answered
	silent         atomic.Bool // the session ended because it was silent
	stopped        atomic.Bool // the context ended the session
	closeForced    atomic.Bool // the connection was closed before Zoom had answered the close frame
	unknownFrames  uint64      // number of frames of unknown modules
	sampledLog     zerolog.Logger
}

// processPause is a period, in times since start, in which the process did not run.
type processPause struct{ from, to int64 }

type earlyFrame struct {
	raw      []byte
	size     int
	received time.Time
}

// Run passes each event and each malformed frame to handle, in order, until the
// session ends. It returns why the session ended, as a *Error, or handle's error,
// which ends it. While handle blocks, heartbeats go on. When the context ends, Run
// closes the session in an orderly way, with CauseStopped.
//
// The frame is valid only during the call; handle may keep its Body.
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

// LastFrame is the time of the session's last sign of life.
func (s *Session) LastFrame() time.Time { return s.start.Add(time.Duration(s.lastFrame.Load())) }

// ReadUntil is the time up to which everything that Zoom sent is known to be read, and
// handled without an error. It is the present unless Run has not begun, the process stood
// still, reading is behind, a frame is being handled, or the connection may be dead.
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

// noteSent records when a frame was sent and whether it was read late, so that others may
// wait behind it. No frame was sent before the start, and frames arrive in the order in
// which they were sent.
func (s *Session) noteSent(sent, received time.Time) {
	by := received
	if !sent.IsZero() && sent.Before(received) {
		by = sent
	}
	s.lastSent.Store(max(int64(by.Sub(s.start)), 0))
	if from := ReadFrom(sent, received); from.Before(received) {
		s.backlogSince.Store(max(int64(from.Sub(s.start)), 1))
	} else if behind := s.backlogSince.Load(); behind > 0 && !sent.IsZero() {
		s.backlogSince.Store(max(behind, s.lastSent.Load()))
	}
}

// Dialled is when the connection was requested. From then on Zoom may have closed another
// connection of the subscription for it.
func (s *Session) Dialled() time.Time { return s.dialled }

// LiveUntil is the time up to which the session is known to have been live. err is what
// Run returned.
//
//   - Zoom closed the session: Zoom's close comes after everything it sent. But it may be
//     read late: up to [ReadDelay] without notice, and later if the process stood still.
//     The result is no earlier than when Zoom sent the last frame that was read.
//   - This side closed it: Zoom sends nothing after that.
//   - The connection broke or fell silent, or this side closed it while a heartbeat was
//     unanswered, or without Zoom's answer to the close frame: since Zoom sent the last
//     frame that was read, it may have been dead or have had unread frames.
func (s *Session) LiveUntil(err error) time.Time {
	ended := s.ended.Load()
	until := s.runningUntil(ended)
	if behind := s.backlogSince.Load(); behind > 0 { // the end was read long after it arrived
		return s.start.Add(time.Duration(min(until, behind)))
	}
	e, ok := errors.AsType[*Error](err)
	switch {
	case s.closeForced.Load(), !ok || e.Cause == CauseReset || e.Cause == CauseSilent,
		e.Cause == CauseStopped && s.lastFrame.Load() < s.unansweredBeat.Load():
		until = min(s.lastFrame.Load(), s.lastSent.Load())
	case e.Cause == CauseStopped:
		until = max(s.closeSent.Load(), s.lastFrame.Load())
	case e.Cause == CauseClosed: // a short pause goes unnoticed, and the close may have arrived during it
		until = min(until, max(until-int64(ReadDelay), min(s.lastFrame.Load(), s.lastSent.Load())))
	}
	return s.start.Add(time.Duration(until))
}

const (
	// runningPeriod is how often the process checks that it runs.
	runningPeriod = time.Second
	// pauseThreshold is how late such a check must be for the process to count as having
	// stood still.
	pauseThreshold = time.Second
)

// ReadDelay is how late, at most, the end of a session may have been read without notice: a
// shorter pause of the process is not detected.
const ReadDelay = pauseThreshold

// noteRunning records that the process runs, and that it stood still before if the last
// record is too old.
func (s *Session) noteRunning() {
	now := int64(time.Since(s.start))
	before := s.lastRunning.Swap(now)
	if now-before > int64(runningPeriod+pauseThreshold) {
		s.lastPause.Store(&processPause{before, now})
	}
}

// runningUntil returns the given time, or, if the process stood still just before it, the
// time at which that began. All are times since start.
func (s *Session) runningUntil(until int64) int64 {
	if awake := s.lastRunning.Load(); until-awake > int64(runningPeriod+pauseThreshold) {
		return awake
	}
	if stood := s.lastPause.Load(); stood != nil && until-stood.to < int64(runningPeriod) {
		return stood.from
	}
	return until
}

// slowHandling is the shortest handling of a frame that counts as holding up reading.
// blockedRead is the shortest read that counts as having waited for data.
const (
	slowHandling = 100 * time.Millisecond
	blockedRead  = 100 * time.Microsecond
)

// answerTime is how long Zoom may take to answer a heartbeat.
const answerTime = 5 * time.Second

// Unanswered reports whether a heartbeat was not answered in time and nothing else has
// arrived since: the connection may have been dead since LastFrame.
func (s *Session) Unanswered() bool {
	beat := time.Duration(s.unansweredBeat.Load())
	return time.Duration(s.lastFrame.Load()) < beat && time.Since(s.start) > beat+answerTime
}

// RoundTrip is how long the latest answered heartbeat took; 0: none was answered yet.
func (s *Session) RoundTrip() time.Duration { return time.Duration(s.roundTrip.Load()) }

// noteAnswer records the answer to a heartbeat.
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

// Beat causes a heartbeat to be sent now, before it is due. It does not block.
func (s *Session) Beat() {
	select {
	case s.beatNow <- struct{}{}:
	default:
	}
}

// RenewAt is the time from which a new session would get a new token, well before
// this session's token expires.
func (s *Session) RenewAt() time.Time { return s.token.asked.Add(s.token.renewal) }

// expiryGrace is how long, after the expiry of a token and one heartbeat period, the
// end of a session still counts as a consequence of the expiry: clocks differ, and
// requests take time.
const expiryGrace = 15 * time.Second

func (s *Session) expired() bool {
	age := time.Since(s.token.asked)
	return age > s.token.life-time.Second && age < s.token.life+s.cfg.Heartbeat+expiryGrace
}

// Useful reports whether a heartbeat was answered and the session lived for at least
// one heartbeat period. Only then may the backoff between connections be reset;
// otherwise two clients that displace each other would never slow down.
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
		if received.Sub(asked) > blockedRead { // it had to wait, so nothing older is unread
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

// readFrame reads one frame, text or binary, into the session's buffer. It truncates a
// frame over the read limit and discards the rest, since no frame may end the
// connection. size is the full length in bytes.
func (s *Session) readFrame(ctx context.Context) (raw []byte, size int, err error) {
	s.currentFrame = Frame{} // it must not keep a body in memory while waiting
	_, r, err := s.conn.Reader(ctx)
	if err != nil {
		return nil, 0, err
	}
	if s.buffer.Cap() > 1<<20 {
		s.buffer, s.decoder.text = bytes.Buffer{}, nil // a single huge frame must not keep its memory for ever
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

// handleFrame parses one frame, passes it to handle if it is an event or malformed, and
// returns an error if it ends the session.
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

// maxNotice is the longest frame, in bytes, that may be a notice of displacement. Its
// format was never published, so the text is searched for in any short frame that
// carries no event.
const maxNotice = 512

// refusalError returns an error if a frame says that Zoom does not want this connection, or
// no longer does. If the frame carries an event, only success false says so.
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
		detail += "; if this lasts, check in Zoom's Marketplace that the app is activated and that the subscription belongs to it"
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

// closeGracefully closes the session in an orderly way: it still reads what Zoom sent before
// it learned of the close.
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

// awaitClose waits for the end of a session that was asked to close, and reports whether it
// has ended. It waits closeTimeout from the last frame, or from the last time that one was
// being handled, and at most maxCloseTime.
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

// sendHeartbeat sends a heartbeat. If the peer does not accept it until the session would
// count as silent, the session is silent. Any other failure shows in the reader.
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
		s.closeForced.Store(true) // likewise: the write took too long after the context ended
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
