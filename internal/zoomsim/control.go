package zoomsim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/internal/eventnames"
)

// Done is the result of an action.
type Done struct {
	Action     string   `json:"action"`
	Sockets    int      `json:"sockets"`              // number of sockets affected
	Lifted     int      `json:"lifted,omitempty"`     // faults lifted, including frozen sockets
	Deliveries []Entry  `json:"deliveries,omitempty"` // frames emitted
	Meeting    *Meeting `json:"meeting,omitempty"`    // that the frames are about
}

// maxControlBody bounds the body of a request to the control API, in bytes.
const maxControlBody = 32 << 20

func (s *Sim) serveActions(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"actions": actions, "standing": s.Standing()})
}

func (s *Sim) serveAction(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControlBody))
	if err != nil {
		http.Error(w, fmt.Sprintf("reading the body: %v", err), http.StatusBadRequest)
		return
	}
	done, err := s.act(r.Context(), r.PathValue("action"), params{r.URL.Query(), body})
	if err != nil {
		status, wayOut := answerTo(err)
		http.Error(w, err.Error()+wayOut, status)
		return
	}
	writeJSON(w, http.StatusOK, done)
}

// answerTo returns the HTTP status for an action's error, and a hint at the parameter that
// overrides it.
func answerTo(err error) (status int, wayOut string) {
	switch {
	case errors.Is(err, ErrUnknownEvent):
		return http.StatusNotFound, " force=true emits it all the same"
	case errors.Is(err, ErrNobody):
		return http.StatusConflict, "; allow-nobody=true emits the event all the same, and loses it as Zoom does"
	}
	return http.StatusBadRequest, ""
}

// serveSamples lists the known events: those with a sample, and the others.
func (s *Sim) serveSamples(w http.ResponseWriter, _ *http.Request) {
	var names, others []string
	for _, body := range Samples() {
		names = append(names, eventName(body))
	}
	slices.Sort(names)
	for _, name := range eventnames.All() {
		if _, sampled := slices.BinarySearch(names, name); !sampled {
			others = append(others, name)
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"samples": slices.Compact(names), "made_up": others})
}

// serveSample serves the body from which emit makes fresh ones.
func (s *Sim) serveSample(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("event")
	if err := CheckName(name); err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Write(append(Body(name), '\n'))
}

func (s *Sim) serveLedger(w http.ResponseWriter, r *http.Request) {
	p := params{r.URL.Query(), nil}
	if err := p.check("[since=100] [limit=100]"); err != nil {
		http.Error(w, fmt.Sprintf("ledger: %v", err), http.StatusBadRequest)
		return
	}
	limit := 10_000
	if p.Has("limit") {
		limit = p.number("limit")
	}
	writeJSON(w, http.StatusOK, s.LedgerSince(int64(p.number("since")), limit))
}

func (s *Sim) serveSummary(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"total": s.Summary(""), "subscriptions": s.Summaries()})
}

// Do executes an action of the control API given as text: "late?by=2h".
func (s *Sim) Do(text string) (Done, error) {
	name, query, _ := strings.Cut(text, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return Done{}, fmt.Errorf("%q is not of the form ACTION?NAME=VALUE&NAME=VALUE", text)
	}
	return s.act(context.Background(), name, params{values, nil})
}

// Does describes an action of the control API in a few words; empty if there is none with this
// name.
func Does(name string) string {
	i := slices.IndexFunc(actions, func(a action) bool { return a.Name == name })
	if i < 0 {
		return ""
	}
	return actions[i].Does
}

// act executes an action of the control API.
func (s *Sim) act(ctx context.Context, name string, p params) (Done, error) {
	i := slices.IndexFunc(actions, func(a action) bool { return a.Name == name })
	if i < 0 {
		return Done{}, fmt.Errorf("unknown action %q; GET /control/ lists the known ones", name)
	}
	if err := p.check(actions[i].Params); err != nil {
		return Done{}, fmt.Errorf("%s: %w", name, err)
	}
	done := Done{Action: name}
	if p.yes("off") {
		done.Lifted = s.lift(name, p.Get("subscription"))
	} else if err := actions[i].do(ctx, s, p.Get("subscription"), p, &done); err != nil {
		return Done{}, err
	}
	s.opt.Log.Info().Str("action", name).Str("parameters", p.Encode()).Msg("control")
	return done, nil
}

// params are the parameters of an action. The getters require that check has passed.
type params struct {
	url.Values
	body []byte
}

func (p params) yes(name string) bool {
	yes, _ := strconv.ParseBool(p.Get(name))
	return yes
}

func (p params) number(name string) int {
	n, _ := strconv.Atoi(p.Get(name))
	return n
}

func (p params) duration(name string) time.Duration {
	d, _ := time.ParseDuration(p.Get(name))
	return d
}

// check compares the parameters with a usage: words of the form NAME=EXAMPLE, in brackets if the
// parameter is optional. A value must have the example's type. With off=true no parameter is
// required.
func (p params) check(usage string) error {
	var known, wrong []string
	for word := range strings.FieldsSeq(usage) {
		optional := strings.HasPrefix(word, "[")
		word = strings.Trim(word, "[]")
		name, example, _ := strings.Cut(word, "=")
		known = append(known, name)
		if value := p.Get(name); value != "" && !alike(value, example) {
			wrong = append(wrong, fmt.Sprintf("%s=%q is not of the form %s", name, value, word))
		} else if value == "" && !optional && !p.yes("off") {
			wrong = append(wrong, fmt.Sprintf("%s is needed, such as %s", name, word))
		}
	}
	for name := range p.Values {
		if !slices.Contains(known, name) {
			wrong = append(wrong, fmt.Sprintf("parameter %q is unknown; known: %s", name, strings.Join(known, ", ")))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return nil
}

// alike reports whether a value has the type of an example: a choice, a boolean, a whole number, a
// duration, or otherwise any text.
func alike(value, example string) bool {
	if strings.Contains(example, "|") {
		return slices.Contains(strings.Split(example, "|"), value)
	}
	if example == "true" {
		_, err := strconv.ParseBool(value)
		return err == nil
	}
	if _, err := strconv.Atoi(example); err == nil {
		n, err := strconv.Atoi(value)
		return err == nil && n >= 0
	}
	if _, err := time.ParseDuration(example); err == nil {
		d, err := time.ParseDuration(value)
		return err == nil && d >= 0
	}
	return true
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, fmt.Sprintf("encoding the answer: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
}
