package page

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zoomstream/zoomstream/docs"
	"github.com/zoomstream/zoomstream/message"
)

func TestStored(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":[1,{"b":12345678901234567890}]}`: "{\n  \"a\": [\n    1,\n    {\n      \"b\": 12345678901234567890\n    }\n  ]\n}",
		`{"a":1,"a":2}`:                        "{\n  \"a\": 1,\n  \"a\": 2\n}", // unchanged, not as a parser reads it
		`not json {`:                           `not json {`,
		"":                                     "",
		"\xff\x00":                             "\ufffd\x00",
		strings.Repeat("[", 65) + strings.Repeat("]", 65): strings.Repeat("[", 65) + strings.Repeat("]", 65), // too deeply nested
		`["` + strings.Repeat("[", 100) + `\"[["]`:        "[\n  \"" + strings.Repeat("[", 100) + "\\\"[[\"\n]",
	} {
		if got := NewStored(7, "zoom.a", time.Now(), nil, []byte(body)); got.Body != want || got.Cut || got.Bytes != len(body) {
			t.Errorf("%.80q is shown as %.80q, want %.80q", body, got.Body, want)
		}
	}
	// However a body is made, what is shown of it is bounded.
	deep := strings.Repeat("[", 1<<19) + strings.Repeat("]", 1<<19)
	for _, body := range []string{deep, `"` + strings.Repeat("ä", 1<<19) + `"`, "[" + strings.Repeat("1,", 1<<19) + "1]"} {
		s := NewStored(7, strings.Repeat("x", 10_000), time.Now(), map[string][]string{strings.Repeat("n", 10_000): slices.Repeat([]string{strings.Repeat("v", 10_000)}, 200)}, []byte(body))
		if len(s.Body) > maxBody || !s.Cut || s.Bytes != len(body) || strings.ContainsAny(s.Body, "\ufffd\n") { // indented, it would grow from 1 MB to 500 MB
			t.Errorf("%.20q: %d bytes, cut: %t, of %d", body, len(s.Body), s.Cut, s.Bytes)
		}
		if len(s.Headers) != maxHeaders || len(s.Headers[0].Name) > MaxText+3 || len(s.Headers[0].Value) > MaxText+3 || len(s.Subject) > MaxText+3 {
			t.Errorf("%d headers, the first %d and %d bytes", len(s.Headers), len(s.Headers[0].Name), len(s.Headers[0].Value))
		}
	}
}

// TestRunbook: each alarm, and each link of the figures, has a chapter.
func TestRunbook(t *testing.T) {
	p := &Page{}
	handler := p.routes()
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	names := slices.Concat(message.SubscriptionAlarms(), message.ReplicaAlarms(), []string{"not-connected", "gaps", "no-standby", "nats", "replica-down"})
	for _, name := range names {
		w := get("/runbook/" + name)
		text := w.Body.String()
		if w.Code != http.StatusOK || !strings.HasPrefix(text, "## "+name+"\n") || !strings.Contains(text, "**It means**") || !strings.Contains(text, "**Do**") || strings.Count(text, "\n## ") > 0 {
			t.Errorf("%s: %d %.100q", name, w.Code, text)
		}
		if kind := w.Header().Get("Content-Type"); kind != "text/plain; charset=utf-8" {
			t.Errorf("%s is %s", name, kind)
		}
		if !strings.Contains(docs.Runbook, text) {
			t.Errorf("%s is not as it stands in the runbook", name)
		}
	}
	for _, path := range []string{"/runbook/nothing", "/runbook/%0A", "/runbook/late%0A", "/runbook/" + strings.Repeat("x", 5000), "/runbook/%3Cscript%3E"} {
		if w := get(path); w.Code != http.StatusNotFound || w.Body.Len() > 200 {
			t.Errorf("%.60s: %d %.100q", path, w.Code, w.Body)
		}
	}
}
