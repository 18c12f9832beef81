package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxFound bounds the events that a search returns.
	MaxFound = 50

	// readAtOnce bounds the whole events that are read concurrently, over all viewers.
	readAtOnce = 4

	searchTimeout = 15 * time.Second
	// searchPatience is how long a search waits for the previous one to end.
	searchPatience = 3 * time.Second
)

// spans are the periods that a search may cover.
var spans = map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour}

// Found is the result of a search.
type Found struct {
	Events    []Event   `json:"events"` // newest first
	Malformed []Event   `json:"malformed"`
	Since     time.Time `json:"since"`
	Looked    uint64    `json:"looked"`   // number of messages examined
	LeftOut   uint64    `json:"left_out"` // older messages in the period that were not
	More      bool      `json:"more"`     // only the newest matches are included
	Gaps      int       `json:"gaps"`     // number of gaps in the period, if nothing was found
}

// serveStored serves one whole message. The caller has checked who may ask.
func (p *Page) serveStored(w http.ResponseWriter, r *http.Request) {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	if err != nil || seq == 0 {
		http.Error(w, "a sequence number is a whole number from 1", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pollTimeout)
	defer cancel()
	select {
	case p.reading <- struct{}{}:
	case <-ctx.Done():
		http.Error(w, "too many events are read at once; try again in a moment", http.StatusTooManyRequests)
		return
	}
	stored, err := p.source.Message(ctx, seq)
	<-p.reading
	if errors.Is(err, ErrNotThere) {
		http.Error(w, fmt.Sprintf("message %d: %v", seq, err), http.StatusNotFound)
		return
	}
	answer(w, stored, err)
}

// serveSearch searches the stream. The caller has checked who may ask. Only one search runs at a
// time, over all viewers, because it makes NATS read a lot.
func (p *Page) serveSearch(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	what := strings.TrimSpace(query.Get("what"))
	if what == "" || len(what) > MaxText {
		http.Error(w, fmt.Sprintf("what to search for has 1 to %d bytes", MaxText), http.StatusBadRequest)
		return
	}
	span, known := spans[query.Get("since")]
	if !known {
		http.Error(w, "since is 1h, 24h or 7d", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), searchTimeout, fmt.Errorf("it took longer than %s: search a shorter period, or use zoomstream find", searchTimeout))
	defer cancel()
	patience := time.NewTimer(searchPatience)
	defer patience.Stop()
	select {
	case p.searching <- struct{}{}:
	case <-patience.C:
		http.Error(w, "another search is under way; try again in a moment", http.StatusTooManyRequests)
		return
	case <-ctx.Done():
		return
	}
	found, err := p.source.Search(ctx, what, time.Now().Add(-span))
	<-p.searching // the next search need not wait until this answer is sent
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		found.Events, found.Malformed = bounded(found.Events), bounded(found.Malformed)
	}
	answer(w, found, err)
}

// answer sends JSON, or the error.
func answer(w http.ResponseWriter, v any, err error) {
	text := []byte(nil)
	if err == nil {
		text, err = json.Marshal(v)
	}
	if err != nil {
		words := err.Error()
		cut(&words)
		http.Error(w, words, http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text) //nolint:errcheck // the reader has gone
}
