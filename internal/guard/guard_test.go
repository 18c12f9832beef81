package guard

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestChecks: which requests each check lets pass, by host name and header.
func TestChecks(t *testing.T) {
	passes, refused := http.StatusOK, http.StatusForbidden
	for _, test := range []struct {
		check  Check
		name   string
		header http.Header
		want   int
	}{
		{ThisMachine, "localhost:1", nil, passes},
		{ThisMachine, "LOCALHOST", nil, passes},
		{ThisMachine, "[::1]:1", nil, passes},
		{ThisMachine, "127.9.9.9", nil, passes},
		{ThisMachine, "", nil, refused},
		{ThisMachine, "evil.example:1", nil, refused},
		{ThisMachine, "127.0.0.1.evil.example", nil, refused},
		{ThisMachine, "10.0.0.1", nil, refused},
		{NoPage, "localhost", nil, passes},
		{NoPage, "localhost", http.Header{"Sec-Fetch-Site": {"none"}}, passes},
		{NoPage, "localhost", http.Header{"Sec-Fetch-Site": {"cross-site"}}, refused},
		{NoPage, "localhost", http.Header{"Sec-Fetch-Site": {"same-site"}}, refused}, // another port of this machine
		{NoPage, "localhost", http.Header{"Sec-Fetch-Site": {"same-origin"}}, refused},
		{NoPage, "localhost", http.Header{"Sec-Fetch-Site": {"none", "cross-site"}}, refused},
		{NoPage, "localhost", http.Header{"Origin": {"https://evil.example"}}, refused},
		{NoPage, "localhost", http.Header{"Origin": {"http://localhost"}}, refused},
		{NoPage, "localhost", http.Header{"Origin": {"null"}}, refused},
		{OwnPage, "localhost", nil, passes},
		{OwnPage, "localhost", http.Header{"Sec-Fetch-Site": {"none"}}, passes},
		{OwnPage, "localhost", http.Header{"Sec-Fetch-Site": {"same-origin"}}, passes},
		{OwnPage, "localhost", http.Header{"Sec-Fetch-Site": {"same-site"}}, refused},
		{OwnPage, "localhost", http.Header{"Sec-Fetch-Site": {"cross-site"}}, refused},
		{OwnPage, "localhost", http.Header{"Sec-Fetch-Site": {"same-origin", "cross-site"}}, refused},
		{OwnPage, "localhost", http.Header{"Origin": {"https://evil.example"}}, refused},
		{OwnPage, "localhost", http.Header{"Origin": {"null"}}, refused},
		{NoProxy, "localhost", http.Header{"User-Agent": {"Go-http-client/1.1"}}, passes},
		{NoProxy, "localhost", http.Header{"X-Forwarded-For": {"10.0.0.1"}}, refused},
		{NoProxy, "localhost", http.Header{"X-Forwarded-Host": {"a"}}, refused},
		{NoProxy, "localhost", http.Header{"Forwarded": {"for=10.0.0.1"}}, refused},
		{NoProxy, "localhost", http.Header{"Via": {"1.1 proxy"}}, refused},
		{NoProxy, "localhost", http.Header{"X-Real-Ip": {"10.0.0.1"}}, refused},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host, r.Header = test.name, test.header
		w := httptest.NewRecorder()
		Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), test.check).ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("host %q, %v: %d, want %d", test.name, test.header, w.Code, test.want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false} {
		at, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if Loopback(at) != want {
			t.Errorf("%s: %v", address, !want)
		}
	}
}
