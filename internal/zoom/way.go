package zoom

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// proxyRefusal means that a proxy does not let a connection through.
type proxyRefusal struct {
	proxy, target string
	status        string // such as 407 Proxy Authentication Required
	code          int
}

func (e *proxyRefusal) Error() string {
	return fmt.Sprintf("the proxy %s (HTTPS_PROXY) refuses the connection to %s: HTTP %s", e.proxy, e.target, e.status)
}

// namingProxy returns a copy of a transport whose errors name the proxy that refuses a
// connection: those of net/http contain only the text of its answer. nil means
// http.DefaultTransport. It returns any other kind of RoundTripper unchanged.
func namingProxy(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	transport, ok := base.(*http.Transport)
	if !ok || transport.OnProxyConnectResponse != nil {
		return base
	}
	transport = transport.Clone()
	transport.OnProxyConnectResponse = func(_ context.Context, proxy *url.URL, request *http.Request, response *http.Response) error {
		if response.StatusCode == http.StatusOK {
			return nil
		}
		return &proxyRefusal{proxy: bareURL(proxy.String()), target: request.Host, status: response.Status, code: response.StatusCode}
	}
	return transport
}

// proxyTrouble is how a proxy, or its setting, made a connection fail; "": it did not.
func proxyTrouble(err error) string {
	if refusal, ok := errors.AsType[*proxyRefusal](err); ok {
		return refusal.Error()
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		return "the proxy of HTTPS_PROXY cannot be reached: " + op.Err.Error()
	}
	if strings.Contains(err.Error(), "invalid proxy address") { // the error contains the address, perhaps with a password
		return "HTTPS_PROXY is not a URL such as http://proxy:3128"
	}
	return ""
}

// dialAdvice is what to do if one of Zoom's endpoints cannot be reached.
func dialAdvice(err error) string {
	if refusal, ok := errors.AsType[*proxyRefusal](err); ok {
		if refusal.code == http.StatusProxyAuthRequired {
			return "give the proxy a login: HTTPS_PROXY=http://user:password@host:port"
		}
		return "have the proxy let this machine reach Zoom, or name the host in NO_PROXY"
	}
	if proxyTrouble(err) != "" {
		return "check HTTPS_PROXY, or unset it"
	}
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return "check the host of the URL and this machine's clock; if a proxy decrypts TLS here, set SSL_CERT_FILE to a PEM file with its CA certificate (and those of the system)"
	}
	if _, plain := errors.AsType[tls.RecordHeaderError](err); plain || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return "what listens there does not speak TLS: check host and port of the URL"
	}
	return "check host and port of the URL, that this machine can reach it (HTTPS_PROXY sets a proxy), and https://status.zoom.us"
}
