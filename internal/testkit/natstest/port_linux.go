package natstest

import (
	"syscall"
	"testing"
)

// Port reserves a port on 127.0.0.1 until the test ends. Nobody gets it by chance, as a listener or
// as a client, even while nobody listens on it. Whoever asks for it by number may listen,
// repeatedly.
func Port(t testing.TB) int {
	t.Helper()
	// The socket is bound but does not listen: the kernel skips its port when it chooses one, but
	// lets sockets with SO_REUSEADDR, such as Go's listeners, bind it.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	address, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return address.(*syscall.SockaddrInet4).Port
}
