package zoom

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// tokenState is the state of an access token with one subscription:
//
//	sound -- a connection ended before it was ready --> doubtful
//	doubtful -- a connection became ready -----------> sound
//	doubtful -- another one ended before that -------> refused
//	any -- success:false, HTTP 401 or 403 -----------> refused
//
// A refused token stays refused. Zoom never published all the ways in which it refuses
// a token: a bare close code or HTTP status may be another. A connection that never
// reached Zoom says nothing about the token.
type tokenState int

const (
	sound tokenState = iota
	doubtful
	refused
)

// tokenTrial tracks whether the app's present token works for one subscription. It is
// safe for concurrent use.
type tokenTrial struct {
	mu    sync.Mutex
	token string
	state tokenState
}

// stateOf returns the state of a token. It starts with sound for a new one. The caller
// holds t.mu.
func (t *tokenTrial) stateOf(token string) *tokenState {
	if t.token != token {
		t.token, t.state = token, sound
	}
	return &t.state
}

func (t *tokenTrial) ready(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if is := t.stateOf(token); *is == doubtful {
		*is = sound
	}
}

// unready records that a connection ended before it was ready, and reports whether the
// token now counts as refused.
func (t *tokenTrial) unready(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	is := t.stateOf(token)
	*is = min(*is+1, refused)
	return *is == refused
}

func (t *tokenTrial) refuse(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*t.stateOf(token) = refused
}

// refused is the token that this subscription cannot use, or "".
func (t *tokenTrial) refused() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != refused {
		return ""
	}
	return t.token
}

const (
	// The first refused token is replaced at once. Further replacements wait for pauses that
	// double from firstReplacePause to maxReplacePause. Each maxReplacePause of calm takes
	// back one doubling.
	firstReplacePause = 2 * time.Second
	replaceSteps      = 6
	maxReplacePause   = time.Minute
	// contentionRefusals refused tokens within contentionWindow mean that somebody else
	// fetches tokens for the app.
	contentionRefusals = 3
	contentionWindow   = 5 * time.Minute
)

// tokenContention detects that another program fetches tokens for the same app, where
// each new token invalidates the older ones. If both sides replaced theirs at once,
// neither would ever connect. The zero value is ready to use.
type tokenContention struct {
	step     int       // replacements that were not yet followed by enough calm
	replaced time.Time // last replacement
	next     time.Time // earliest time of the next replacement
	refusals [contentionRefusals]time.Time
}

// wait is how long a refused token may not be replaced yet.
func (r *tokenContention) wait(now time.Time) time.Duration { return max(0, r.next.Sub(now)) }

// noteReplacement records that a refused token was replaced.
func (r *tokenContention) noteReplacement(now time.Time) {
	calm := int(min(now.Sub(r.replaced)/maxReplacePause, replaceSteps))
	r.step = min(max(0, r.step-calm)+1, replaceSteps)
	r.replaced = now
	pause := min(firstReplacePause<<(r.step-1), maxReplacePause)
	r.next = now.Add(pause/2 + rand.N(pause/2))
}

// noteRefusal records that a token was refused before it expired.
func (r *tokenContention) noteRefusal(now time.Time) {
	copy(r.refusals[:], r.refusals[1:])
	r.refusals[contentionRefusals-1] = now
}

// contended reports whether so many tokens were refused recently that somebody else must be
// fetching tokens.
func (r *tokenContention) contended(now time.Time) bool {
	return !r.refusals[0].IsZero() && now.Sub(r.refusals[0]) < contentionWindow
}

// contentionDetail explains the contention and what to do about it.
const contentionDetail = "Zoom refuses one access token after another before it expires: somebody else fetches tokens for this app, " +
	"and each new one invalidates the others; find that program and give it its own app " +
	"(if there has never been a connection: check that the app is activated and that the subscription belongs to it)"

// blames reports whether a connection ended in a way that points at its token, rather than
// at a gateway, a wrong URL or an overload.
func (e *Error) blames() bool {
	switch e.status {
	case 0:
		return e.Cause == CauseRefused || e.Cause == CauseClosed
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return true
	}
	return false
}
