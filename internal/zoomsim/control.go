package zoomsim

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Param is a parameter of an Action.
type Param struct {
	Name string `json:"name"`
	Type string `json:"type"` // text, whole number, duration (as 1m30s), true or false
	Does string `json:"does"`
}

// Action is what POST /control/<Name> does.
type Action struct {
	Name   string  `json:"name"`
	Does   string  `json:"does"`
	Params []Param `json:"parameters"`

	build func(*args) deed
}

// deed does an action whose parameters are checked.
type deed func(*Sim) (Done, error)

// Done is the answer to an action.
type Done struct {
	Action     string     `json:"action"`
	Sockets    int        `json:"sockets"`              // that it touched
	Lifted     int        `json:"lifted,omitempty"`     // faults, frozen sockets counted
	Deliveries []Delivery `json:"deliveries,omitempty"` // frames that it emitted
}

// maxControlBody bounds the body of a request to the control API, in bytes.
const maxControlBody = 32 << 20

func (s *Sim) routeControl(mux *http.ServeMux) {
	mux.HandleFunc("GET /control/{$}", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"actions": Actions(), "standing": s.Standing()})
	})
	mux.HandleFunc("GET /control/ledger", func(w http.ResponseWriter, r *http.Request) {
		a := newArgs("ledger", r.URL.Query(), nil, "since", "limit")
		since, limit := a.number("since", 0), a.number("limit", 10_000)
		if err := a.err(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeJSON(w, http.StatusOK, s.LedgerSince(int64(since), limit))
	})
	mux.HandleFunc("GET /control/ledger/summary", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"total": s.Summary(""), "subscriptions": s.Summaries()})
	})
	mux.HandleFunc("POST /control/{action}", s.serveAction)
}

func (s *Sim) serveAction(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControlBody))
	if err != nil {
		http.Error(w, fmt.Sprintf("reading the body: %v", err), http.StatusBadRequest)
		return
	}
	do, err := parseAction(r.PathValue("action"), r.URL.Query(), body)
	if errors.Is(err, errUnknownAction) {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	var done Done
	if err == nil {
		done, err = do(s)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, http.StatusOK, done)
}

var errUnknownAction = errors.New("unknown action")

// parseAction checks an action and its parameters without doing it.
func parseAction(name string, query url.Values, body []byte) (deed, error) {
	for _, action := range Actions() {
		if action.Name != name {
			continue
		}
		var known []string
		for _, p := range action.Params {
			known = append(known, p.Name)
		}
		a := newArgs(name, query, body, known...)
		do := action.build(a)
		if err := a.err(); err != nil {
			return nil, err
		}
		return func(s *Sim) (Done, error) {
			done, err := do(s)
			done.Action = name
			return done, err
		}, nil
	}
	return nil, fmt.Errorf("%w %q; GET /control/ lists the known ones", errUnknownAction, name)
}
