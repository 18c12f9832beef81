package zoom

import (
	"bufio"
	"cmp"
	"context"
	"net"
	"net/http"
)

// readAhead is the number of bytes read from a connection at once. TLS and WebSocket alone
// would read only a frame or 4 KiB at a time.
const readAhead = 32 << 10

type bufferedConn struct {
	net.Conn
	buffer *bufio.Reader // on Conn
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.buffer.Read(p) }

// buffered returns a copy of a transport with buffered reading. nil means
// http.DefaultTransport. It returns any other kind of RoundTripper unchanged.
func buffered(base http.RoundTripper) http.RoundTripper {
	transport, ok := cmp.Or(base, http.DefaultTransport).(*http.Transport)
	if !ok {
		return base
	}
	transport = transport.Clone()
	dial := transport.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return bufferedConn{conn, bufio.NewReaderSize(conn, readAhead)}, nil
	}
	return transport
}
