package natstest

import (
	"syscall"
	"testing"
)

// Port reserves a port of 127.0.0.1 until the test ends. Nobody gets it by chance,
// neither as a listener's nor as a client's, also while nobody listens there; who
// asks for it by its number may listen, again and again.
func Port(t testing.TB) int {
	t.Helper()
	// A socket that is bound and does not listen: the kernel passes its port over when
	// it chooses one, and lets others with SO_REUSEADDR, as Go's listeners are, bind it.
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
