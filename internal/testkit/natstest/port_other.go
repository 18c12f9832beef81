//go:build !linux

package natstest

import (
	"net"
	"testing"
)

// Port returns a port on 127.0.0.1 that was free a moment ago.
func Port(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
