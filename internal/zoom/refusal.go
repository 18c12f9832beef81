package zoom

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// standing is how an access token stands with one subscription:
//
//	sound -- a connection ended before it was ready --> doubtful
//	doubtful -- a connection became ready -----------> sound
//	doubtful -- another one ended before that -------> refused
//	any -- success:false, HTTP 401 or 403 -----------> refused
//
// A refused token stays so. Zoom never published all the ways in which it refuses
// one: a close code or an HTTP status without a word may be another. What never
// reached Zoom says nothing of the token.
type standing int

const (
	sound standing = iota
	doubtful
	refused
)

// trial tries the app's tokens for one subscription, one after the other. It is
// safe for concurrent use.
type trial struct {
	mu    sync.Mutex
	token string
	is    standing
}

// of begins anew with another token; the caller holds t.mu.
func (t *trial) of(token string) *standing {
	if t.token != token {
		t.token, t.is = token, sound
	}
	return &t.is
}

func (t *trial) ready(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if is := t.of(token); *is == doubtful {
		*is = sound
	}
}

// unready is told that a connection ended before it was ready, and reports whether
// the token counts as refused.
func (t *trial) unready(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	is := t.of(token)
	*is = min(*is+1, refused)
	return *is == refused
}

func (t *trial) refuse(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*t.of(token) = refused
}

// refused is the token that is of no use for this subscription, or "".
func (t *trial) refused() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.is != refused {
		return ""
	}
	return t.token
}

const (
	// A refused token is replaced at once, then after pauses from rivalPause on that
	// double up to maxRivalPause. Each maxRivalPause of calm takes one step back.
	rivalPause    = 2 * time.Second
	rivalSteps    = 6
	maxRivalPause = time.Minute
	// So many refused tokens within rivalWindow mean that somebody else fetches some.
	rivalTokens = 3
	rivalWindow = 5 * time.Minute
)

// rivalry is a war of tokens: another program fetches tokens for the same app, and
// each new one makes the older ones worthless. If both replaced theirs at once,
// neither would ever connect. Its zero value is peace.
type rivalry struct {
	step     int       // replacements that calm has not made good yet
	replaced time.Time // the last one
	next     time.Time // none before
	refusals [rivalTokens]time.Time
}

// wait is how long a refused token may not be replaced.
func (r *rivalry) wait(now time.Time) time.Duration { return max(0, r.next.Sub(now)) }

// replace notes that a refused token was replaced.
func (r *rivalry) replace(now time.Time) {
	calm := int(min(now.Sub(r.replaced)/maxRivalPause, rivalSteps))
	r.step = min(max(0, r.step-calm)+1, rivalSteps)
	r.replaced = now
	pause := min(rivalPause<<(r.step-1), maxRivalPause)
	r.next = now.Add(pause/2 + rand.N(pause/2))
}

// refuse notes that a token was refused before its time.
func (r *rivalry) refuse(now time.Time) {
	copy(r.refusals[:], r.refusals[1:])
	r.refusals[rivalTokens-1] = now
}

// rages reports whether so many were refused lately that somebody else must fetch some.
func (r *rivalry) rages(now time.Time) bool {
	return !r.refusals[0].IsZero() && now.Sub(r.refusals[0]) < rivalWindow
}

// rivalDetail is what is to be done about it.
const rivalDetail = "Zoom refuses one access token after the other before its time: somebody else fetches tokens for this app, " +
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
