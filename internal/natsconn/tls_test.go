package natsconn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// TestTLS: the server asks for a client certificate; without NATS_CA the log says what to set.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, caKey := newCertificate(t, dir, "ca", nil, nil)
	newCertificate(t, dir, "server", ca, caKey)
	newCertificate(t, dir, "client", ca, caKey)
	file := func(name string) string { return filepath.Join(dir, name) }
	config, err := server.GenTLSConfig(&server.TLSConfigOpts{
		CertFile: file("server.crt"), KeyFile: file("server.key"), CaFile: file("ca.crt"), Verify: true})
	must(t, err)
	srv := runServer(t, &server.Options{TLSConfig: config, TLSTimeout: 5})

	nc := connect(t, Options{URL: srv.ClientURL(), CA: file("ca.crt"), Cert: file("client.crt"), Key: file("client.key")})
	if !nc.TLSRequired() {
		t.Error("the connection is not encrypted")
	}

	log, logger := newLog()
	stopped := make(chan error, 1)
	go func() {
		_, err := Connect(t.Context(), Options{URL: srv.ClientURL(), Log: logger})
		stopped <- err
	}()
	log.await(t, "set NATS_CA")
	srv.Shutdown()
	t.Cleanup(func() { <-stopped }) // when the test's context ends
}

// newCertificate writes <name>.crt and <name>.key; without a parent it is an authority.
func newCertificate(t *testing.T, dir, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	write := func(suffix, kind string, content []byte) {
		must(t, os.WriteFile(filepath.Join(dir, name+suffix), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600))
	}
	write(".crt", "CERTIFICATE", der)
	write(".key", "PRIVATE KEY", keyDER)
	return c, key
}
