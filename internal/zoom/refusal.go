package zoom

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// tokenState is how an access token stands with one subscription:
//
//	sound -- a connection ended before it was ready --> doubtful
//	doubtful -- a connection became ready -----------> sound
//	doubtful -- another one ended before that -------> refused
//	any -- success:false, HTTP 401 or 403 -----------> refused
//
// A refused token stays so. Zoom never published all the ways in which it refuses
// one: a close code or an HTTP status without a word may be another. What never
// reached Zoom says nothing of the token.
type tokenState int

const (
	sound tokenState = iota
	doubtful
	refused
)

// tokenTrial tries the app's tokens for one subscription, one after the other. It is
// safe for concurrent use.
type tokenTrial struct {
	mu    sync.Mutex
	token string
	state tokenState
}

// stateOf begins anew with another token; the caller holds t.mu.
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

// unready is told that a connection ended before it was ready, and reports whether
// the token counts as refused.
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

// refused is the token that is of no use for this subscription, or "".
func (t *tokenTrial) refused() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != refused {
		return ""
	}
	return t.token
}

const (
	// A refused token is replaced at once, then after pauses from firstReplacePause on that
	// double up to maxReplacePause. Each maxReplacePause of calm takes one step back.
	firstReplacePause = 2 * time.Second
	replaceSteps      = 6
	maxReplacePause   = time.Minute
	// So many refused tokens within contentionWindow mean that somebody else fetches some.
	contentionRefusals = 3
	contentionWindow   = 5 * time.Minute
)

// tokenContention tells that another program fetches tokens for the same app, and
// each new one makes the older ones worthless. If both replaced theirs at once,
// neither would ever connect. Its zero value is that nobody does.
type tokenContention struct {
	step     int       // replacements that calm has not made good yet
	replaced time.Time // the last one
	next     time.Time // none before
	refusals [contentionRefusals]time.Time
}

// wait is how long a refused token may not be replaced.
func (r *tokenContention) wait(now time.Time) time.Duration { return max(0, r.next.Sub(now)) }

// noteReplacement notes that a refused token was replaced.
func (r *tokenContention) noteReplacement(now time.Time) {
	calm := int(min(now.Sub(r.replaced)/maxReplacePause, replaceSteps))
	r.step = min(max(0, r.step-calm)+1, replaceSteps)
	r.replaced = now
	pause := min(firstReplacePause<<(r.step-1), maxReplacePause)
	r.next = now.Add(pause/2 + rand.N(pause/2))
}

// noteRefusal notes that a token was refused before its time.
func (r *tokenContention) noteRefusal(now time.Time) {
	copy(r.refusals[:], r.refusals[1:])
	r.refusals[contentionRefusals-1] = now
}

// contended reports whether so many were refused lately that somebody else must fetch some.
func (r *tokenContention) contended(now time.Time) bool {
	return !r.refusals[0].IsZero() && now.Sub(r.refusals[0]) < contentionWindow
}

// contentionDetail is what is to be done about it.
const contentionDetail = "Zoom refuses one access token after the other before its time: somebody else fetches tokens for this app, " +
	"and each makes the others worthless; find that program and give it an app of its own " +
	"(if there was never a connection: check that the app is activated and the subscription is its own)"

// blames reports whether a connection ended in a way that points at its token: not
// what a gateway, a wrong URL or an overload explains.
func (e *Error) blames() bool {
	switch e.status {
	case 0:
		return e.Cause == CauseRefused || e.Cause == CauseClosed
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return true
	}
	return false
}
