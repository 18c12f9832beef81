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
	// MaxFound is how many events a search tells of.
	MaxFound = 50

	// readAtOnce whole events are read at once, whoever asks.
	readAtOnce = 4

	searchTimeout = 15 * time.Second
	// searchPatience is how long a search waits for the end of the one before.
	searchPatience = 3 * time.Second
)

// spans are how far back a search may look.
var spans = map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour}

// Found is what a search has found.
type Found struct {
	Events    []Event   `json:"events"` // newest first
	Malformed []Event   `json:"malformed"`
	Since     time.Time `json:"since"`
	Looked    uint64    `json:"looked"`   // messages looked at
	LeftOut   uint64    `json:"left_out"` // older ones since then that were not
	More      bool      `json:"more"`     // only the newest are told of
	Gaps      int       `json:"gaps"`     // since then, if nothing is found
}

// serveStored serves one message, whole. Who may ask is decided before.
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

// serveSearch searches the stream. Who may ask is decided before. There is one search at a
// time, whoever asks: it makes NATS read.
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
	ctx, cancel := context.WithTimeoutCause(r.Context(), searchTimeout, fmt.Errorf("that took longer than %s: search a shorter time, or with zoomstream find", searchTimeout))
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
	<-p.searching // the next one need not wait until this one's answer is read
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		found.Events, found.Malformed = bounded(found.Events), bounded(found.Malformed)
	}
	answer(w, found, err)
}

// answer answers with JSON, or why there is none.
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
