package natstest

import (
	"fmt"
	"net"
	"testing"
)

// TestPort has a port that is listened on again and again, and that nobody else is
// given meanwhile, although all others are asked for.
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
