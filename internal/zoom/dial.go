package zoom

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"github.com/rs/zerolog"
)

const (
	dialTimeout  = 10 * time.Second // for connection and upgrade
	readyTimeout = 15 * time.Second // from the upgrade to build_connection
	maxEarly     = 32 << 20         // bytes kept of frames that arrive before build_connection
)

// Config describes the subscription of a Dialer.
type Config struct {
	Endpoint  string // URL as Zoom's page shows it, without a token
	Tokens    *TokenSource
	HTTP      *http.Client  // nil: http.DefaultClient; must have no Timeout
	Heartbeat time.Duration // period; Zoom documents 30 s
	ReadLimit int64         // bytes of a frame that are kept; 0: 16 MiB
	// Permit is called right before each connection is opened, since that displaces
	// another connection of the subscription. It may block; its error ends the dial. The
	// dial is given up at once when permitted ends. done is called when the connection is
	// ready or given up. nil: always permitted.
	Permit func(context.Context) (permitted context.Context, done func(), err error)
	// Answered is called with the round trip of each heartbeat; may be nil.
	Answered func(roundTrip time.Duration)
	Log      zerolog.Logger
}

// Dialer opens sessions of one subscription. Dial must not be called concurrently.
type Dialer struct {
	cfg         Config
	trial       tokenTrial     // of the app's tokens
	sampledLog  zerolog.Logger // for what the other side could cause any number of times
	earlyFrames []earlyFrame   // of connections that never became ready
}

// NewDialer returns a Dialer. Its HTTP client follows no redirects.
func NewDialer(cfg Config) *Dialer {
	cfg.HTTP = withoutRedirects(cfg.HTTP)
	cfg.HTTP.Transport = buffered(namingProxy(cfg.HTTP.Transport))
	if cfg.ReadLimit == 0 {
		cfg.ReadLimit = 16 << 20
	}
	return &Dialer{cfg: cfg, sampledLog: cfg.Log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})}
}

// Dial opens a session and returns once it is ready, that is, after
// build_connection with success:true. By then Zoom has displaced any other
// connection of the subscription. If Zoom refuses the token, Dial tries once more
// with a new one, unless refused tokens were replaced recently or Zoom asks to wait.
// The error is a *Error, a *CredentialsError, Permit's, or the context's cause.
func (d *Dialer) Dial(ctx context.Context) (*Session, error) {
	for second := false; ; second = true {
		token, err := d.cfg.Tokens.token(ctx, d.trial.refused())
		if err != nil {
			return nil, err
		}
		s, err := d.openPermitted(ctx, token)
		if err == nil {
			d.trial.ready(token.value)
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		err = d.noteFailure(token, err)
		e, ok := errors.AsType[*Error](err)
		if second || !ok || e.Cause != CauseRefused || e.RetryAfter > 0 || d.cfg.Tokens.replacePause(token.value) > 0 {
			return nil, err
		}
		d.cfg.Log.Warn().Str("code", "zoom.refused").Err(err).Msg("connection refused; trying once with a new token")
	}
}

// noteFailure records how a dial failed and returns the error to report. A token counts
// as refused if Zoom says so, or if two dials in a row reached Zoom and failed with it,
// in whatever way.
func (d *Dialer) noteFailure(token accessToken, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || !e.reached || e.Cause == CauseDisplaced || e.Cause == CauseStopped {
		return err
	}
	if e.Cause == CauseRefused {
		d.trial.refuse(token.value)
	} else if !d.trial.unready(token.value) {
		return err
	}
	d.cfg.Tokens.refused(token.value, e.blames())
	if e.Cause == CauseRefused {
		return e
	}
	return &Error{Cause: CauseRefused, Code: e.Code, RetryAfter: e.RetryAfter, status: e.status, reached: true,
		Detail: "with one token, two connections in a row ended before they were ready: " + e.Detail}
}

// openPermitted opens a session if that is permitted. It does not stop at once when the
// context ends, but has closeTimeout to finish: by then Zoom may be sending events to the
// new connection, and to no other.
func (d *Dialer) openPermitted(ctx context.Context, token accessToken) (*Session, error) {
	dialling, release := withGracePeriod(ctx, closeTimeout)
	defer release()
	if d.cfg.Permit == nil {
		return d.open(dialling, token)
	}
	permitted, done, err := d.cfg.Permit(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	defer context.AfterFunc(permitted, release)()
	s, err := d.open(dialling, token)
	if e, ok := errors.AsType[*Error](err); ok && permitted.Err() != nil && e.Cause == CauseDial && e.status == 0 { // no answer of Zoom's
		return nil, &Error{Cause: CauseStopped, Detail: "the dial was given up: " + context.Cause(permitted).Error()}
	}
	return s, err
}

func (d *Dialer) open(ctx context.Context, token accessToken) (*Session, error) {
	redact := redactor{token.value, d.cfg.Tokens.config().ClientSecret}
	dialled := time.Now()
	conn, stream, err := d.upgrade(ctx, token.value, redact)
	if err != nil {
		return nil, err
	}
	s := &Session{cfg: d.cfg, conn: conn, stream: stream, token: token, trial: &d.trial, redact: redact, dialled: dialled, start: time.Now(), beatNow: make(chan struct{}, 1), sampledLog: d.sampledLog, earlyFrames: d.earlyFrames}
	if err := s.awaitReady(ctx); err != nil {
		err.reached = true
		conn.CloseNow()               //nolint:errcheck // it is of no use any more
		d.earlyFrames = s.earlyFrames // the next session hands over whatever Zoom has sent
		return nil, err
	}
	d.earlyFrames = nil
	return s, nil
}

func (d *Dialer) upgrade(ctx context.Context, token string, redact redactor) (*websocket.Conn, *stream, error) {
	target, err := withToken(d.cfg.Endpoint, token)
	if err != nil {
		return nil, nil, &Error{Cause: CauseDial, Detail: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c := &streamCapture{base: d.cfg.HTTP.Transport}
	client := *d.cfg.HTTP
	client.Transport = c
	conn, answer, err := websocket.Dial(ctx, target, &websocket.DialOptions{
		HTTPClient:      &client,
		CompressionMode: websocket.CompressionDisabled,
	})
	if err == nil {
		conn.SetReadLimit(-1) // Session truncates larger frames, and goes on
		return conn, c.stream, nil
	}
	if answer == nil {
		return nil, nil, &Error{Cause: CauseDial, Detail: fmt.Sprintf("%s (ZOOM_WEBSOCKET_URL) cannot be reached: %s; %s", bareURL(d.cfg.Endpoint), redact.error(err), dialAdvice(err))}
	}
	e := &Error{Cause: CauseDial, reached: true, RetryAfter: parseRetryAfter(answer.Header), Detail: fmt.Sprintf("the upgrade was answered with HTTP %d", answer.StatusCode)}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		e.status = answer.StatusCode
	}
	switch answer.StatusCode {
	case http.StatusSwitchingProtocols:
		e.Detail = "the upgrade failed: " + redact.error(err)
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Cause = CauseRefused
	case http.StatusNotFound:
		e.Detail += "; check the subscriptionId in ZOOM_WEBSOCKET_URL"
	case http.StatusOK, http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect:
		e.Detail += "; something other than Zoom answers at " + bareURL(d.cfg.Endpoint) + " (ZOOM_WEBSOCKET_URL), such as a captive portal or a proxy"
	}
	return nil, nil, e
}

// awaitReady reads until build_connection. Frames before that, which were never
// observed, are kept for Run.
func (s *Session) awaitReady(ctx context.Context) *Error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	held := 0
	for _, f := range s.earlyFrames {
		held += len(f.raw) + 1024
	}
	for {
		raw, size, err := s.readFrame(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return &Error{Cause: CauseDial, Detail: fmt.Sprintf("no build_connection within %s of the upgrade", readyTimeout)}
			}
			return endError(err, s.redact)
		}
		env, err := s.decoder.envelope(raw)
		event := carriesEvent(env)
		ready := err == nil && env.module == moduleBuild && env.agreed
		if err == nil && env.module == moduleBuild {
			env.refused = !ready // anything but success true is a refusal
		}
		if err := s.refusalError(env, raw, event); err != nil {
			return err
		}
		if ready && !event {
			return nil
		}
		if held += len(raw) + 1024; held > maxEarly {
			e := &Error{Cause: CauseDial, Detail: fmt.Sprintf("%d frames but no build_connection; they are not kept", len(s.earlyFrames))}
			s.earlyFrames = nil
			return e
		}
		s.earlyFrames = append(s.earlyFrames, earlyFrame{bytes.Clone(raw), size, time.Now()})
		if ready {
			return nil
		}
	}
}

// Renewable waits for a token that is newer than the session's. It returns an error
// if none can be obtained now.
func (d *Dialer) Renewable(ctx context.Context, s *Session) error {
	token, err := d.cfg.Tokens.token(ctx, d.trial.refused())
	if err == nil && token.value == s.token.value {
		return &Error{Cause: CauseToken, Detail: "no newer access token is available"}
	}
	return err
}

// ClosesAtExpiry reports whether Zoom is known to close a session when its token
// expires.
func (d *Dialer) ClosesAtExpiry() bool { return d.cfg.Tokens.ClosesAtExpiry() }

// LearnClosesAtExpiry records that it does.
func (d *Dialer) LearnClosesAtExpiry() { d.cfg.Tokens.LearnClosesAtExpiry() }
