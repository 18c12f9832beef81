package webhook

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const secretPath = "/services/T0SECRET00/b0-s3cr3t/hidden%20v4lue?key=s3cr3t-of-the-query&x=1"

// endpoint serves handle, and returns its URL, which contains secrets.
func endpoint(t *testing.T, handle http.HandlerFunc) *url.URL {
	t.Helper()
	web := httptest.NewServer(handle)
	t.Cleanup(web.Close)
	return secretURL(t, web.URL)
}

func secretURL(t *testing.T, base string) *url.URL {
	t.Helper()
	to, err := url.Parse(base + secretPath)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func post(t *testing.T, to *url.URL) *Refusal {
	t.Helper()
	transport := NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	return Post(t.Context(), NewClient(transport, 300*time.Millisecond), to, http.Header{"Content-Type": {"application/json"}}, []byte(`{"n":1}`))
}

// hasNoSecret checks that a refusal shows nothing of the URL but its scheme and host.
func hasNoSecret(t *testing.T, r *Refusal) {
	t.Helper()
	for _, secret := range []string{"T0SECRET00", "b0-s3cr3t", "hidden", "v4lue", "s3cr3t-of-the-query"} {
		if strings.Contains(fmt.Sprintf("%+v", *r), secret) {
			t.Errorf("%s is in %+v", secret, *r)
		}
	}
}

func TestPost(t *testing.T) {
	var got string
	to := endpoint(t, func(out http.ResponseWriter, in *http.Request) {
		body, _ := io.ReadAll(in.Body)
		got = in.Method + " " + in.URL.String() + " " + in.Header.Get("Content-Type") + " " + string(body)
		out.WriteHeader(http.StatusAccepted)
	})
	if r := post(t, to); r != nil {
		t.Errorf("%+v", *r)
	}
	if want := "POST " + secretPath + ` application/json {"n":1}`; got != want {
		t.Errorf("the endpoint got %s", got)
	}
	if got, want := Host(to), "http://"+to.Host; got != want {
		t.Errorf("it is shown as %s", got)
	}
}

// TestRefusals: whether an answer is about the message, the URL or neither.
func TestRefusals(t *testing.T) {
	for status, want := range map[int]Refusal{
		302: {Code: "http_302", Text: "the endpoint answered 302 Found"},
		400: {Code: "http_400", Text: "the endpoint answered 400 Bad Request", OfMessage: true},
		404: {Code: "http_404", Text: "the endpoint answered 404 Not Found", OfURL: true},
		410: {Code: "http_410", Text: "the endpoint answered 410 Gone", OfURL: true},
		429: {Code: "http_429", Text: "the endpoint answered 429 Too Many Requests", RetryAfter: 7 * time.Second},
		503: {Code: "http_503", Text: "the endpoint answered 503 Service Unavailable", RetryAfter: 7 * time.Second},
		599: {Code: "http_599", Text: "the endpoint answered 599"},
	} {
		var asked atomic.Int32
		to := endpoint(t, func(out http.ResponseWriter, in *http.Request) {
			asked.Add(1)
			out.Header().Set("Retry-After", "7")
			out.Header().Set("Location", in.URL.String())
			out.WriteHeader(status)
			io.WriteString(out, in.URL.String()) //nolint:errcheck // the client may have gone
		})
		if r := post(t, to); r == nil || *r != want {
			t.Errorf("%d: %+v", status, r)
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("%d: asked %d times", status, n)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, "-1": 0, "soon": 0, "99999999999": 0, now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q is %v", value, got)
		}
	}
	to := endpoint(t, func(out http.ResponseWriter, in *http.Request) {
		out.Header().Set("Retry-After", "86400")
		out.WriteHeader(http.StatusServiceUnavailable)
	})
	if r := post(t, to); r == nil || r.RetryAfter != maxRetryAfter {
		t.Errorf("an endpoint asks for a day: %+v", r)
	}
}

// TestAnswerIsBounded: an endless answer counts like any other, by its status.
func TestAnswerIsBounded(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusInternalServerError} {
		to := endpoint(t, func(out http.ResponseWriter, in *http.Request) {
			out.WriteHeader(status)
			for in.Context().Err() == nil {
				if _, err := out.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		})
		began := time.Now()
		r := Post(t.Context(), NewClient(NewTransport(), 30*time.Second), to, nil, nil)
		if (r == nil) != (status == http.StatusOK) {
			t.Errorf("%d: %+v", status, r)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%d takes %v", status, took)
		}
	}
}

// TestTalkativeEndpoint: whatever the endpoint or the network says about the URL, nothing of it is
// shown.
func TestTalkativeEndpoint(t *testing.T) {
	for name, say := range map[string]func(in *http.Request) string{
		"a redirect that is no URL": func(in *http.Request) string {
			return "HTTP/1.1 302 Found\r\nLocation: http://[" + in.URL.String() + "\r\n\r\n"
		},
		"a status that is no number": func(in *http.Request) string { return "HTTP/1.1 " + in.URL.String() + "\r\n\r\n" },
		"the path as its protocol":   func(in *http.Request) string { return in.URL.Path + "\r\n\r\n" },
		"a header without a colon":   func(in *http.Request) string { return "HTTP/1.1 200 OK\r\nto " + in.URL.Path + "\r\n\r\n" },
		"a query as a header":        func(in *http.Request) string { return "HTTP/1.1 200 OK\r\n" + in.URL.RawQuery + "\r\n\r\n" },
		"no HTTP":                    func(in *http.Request) string { return in.URL.RawQuery + "\r\n" },
		"nothing":                    func(*http.Request) string { return "" },
	} {
		to := endpoint(t, func(out http.ResponseWriter, in *http.Request) {
			conn, _, err := out.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()            //nolint:errcheck // it was written to
			io.WriteString(conn, say(in)) //nolint:errcheck // the client may have gone
		})
		r := post(t, to)
		if r == nil || r.Code != "connection" {
			t.Errorf("%s: %+v", name, r)
			continue
		}
		hasNoSecret(t, r)
		t.Log(name + ": " + r.Text)
	}
}

// TestNoConnection: nobody listens, or nobody answers.
func TestNoConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := secretURL(t, "http://"+listener.Addr().String())
	if r := post(t, to); r == nil || r.Code != "timeout" {
		t.Errorf("nobody answers: %+v", r)
	}
	listener.Close() //nolint:errcheck // nobody comes any more
	r := post(t, to)
	if r == nil || r.Code != "connection" || !strings.Contains(r.Text, "refused") || !strings.Contains(r.Text, to.Host) {
		t.Fatalf("nobody is there: %+v", r)
	}
	hasNoSecret(t, r)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if r := Post(ended, NewClient(NewTransport(), time.Second), to, nil, nil); r == nil {
		t.Error("an attempt that was cancelled is a delivery")
	}
}
