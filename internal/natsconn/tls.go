package natsconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/nats-io/nats.go"
)

// tlsAdvice says what to check when connecting fails because of TLS or its absence; "" if the cause
// is something else.
func tlsAdvice(err error) string {
	if err == nil {
		return ""
	}
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return certificateAdvice(bad)
	}
	const wanted = "the server requires a client certificate and got none, or one that it does not trust: set NATS_CERT and NATS_KEY (or cert and key of the context)"
	text := err.Error()
	if errors.Is(err, nats.ErrTLS) && strings.Contains(text, "after TLS handshake") { // the server closed right after the handshake
		return wanted
	}
	for _, alert := range []string{"certificate required", "bad certificate", "unknown certificate authority", "unknown certificate"} {
		if strings.Contains(text, "tls: "+alert) { // the server's wording; crypto/tls has no type for these alerts
			return wanted
		}
	}
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	op, isOp := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "the server offers no TLS, but NATS_URL (tls://), NATS_CA or NATS_CERT ask for it"
	case plain:
		return "the server does not start with TLS: remove tls_first from the context, or set handshake_first on the server"
	case isOp && op.Op == "read" && op.Timeout(), errors.Is(err, nats.ErrNoInfoReceived), errors.Is(err, io.EOF):
		return "whether that is the port of a nats-server for clients; if the server wants TLS first (handshake_first: true), set tls_first: true in a context and name it in NATS_CONTEXT"
	}
	return ""
}

// certificateAdvice says how to fix a server certificate that fails verification.
func certificateAdvice(bad *tls.CertificateVerificationError) string {
	if _, ok := errors.AsType[x509.HostnameError](bad); ok {
		return "the server's certificate is for another name: use one of its names in NATS_URL"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](bad); ok && invalid.Reason == x509.Expired {
		return "the server's certificate is not valid now: renew it, and check this machine's clock"
	}
	return "the server's certificate is not trusted: set NATS_CA to the file of its CA certificate"
}
