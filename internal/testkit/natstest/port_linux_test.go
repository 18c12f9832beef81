package natstest

import (
	"fmt"
	"net"
	"testing"
)

// TestPort: one can listen on a port again and again, and nobody else is given it meanwhile,
// although others ask for many ports.
func TestPort(t *testing.T) {
	port := Port(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for range 3 {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		client.Close()
		listener.Close()
		if client, err := net.Dial("tcp", address); err == nil {
			client.Close()
			t.Error("somebody listens")
		}
	}
	for range 1000 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		if listener.Addr().String() == address {
			t.Fatal("somebody else is given the port")
		}
	}
}
