package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/coder/websocket"
)

// zoom is a Zoom for one client, without any faults.
type zoom struct {
	orders chan order
}

func runZoom(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	z := &zoom{orders: make(chan order)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth/token", z.serveToken)
	mux.HandleFunc("GET /ws", z.serveSocket)
	server := &http.Server{Handler: mux}
	defer server.Close()
	go server.Serve(listener) //nolint:errcheck // ends with Close
	if err := writeReport(report{Address: listener.Addr().String()}); err != nil {
		return err
	}
	return orders(func(o order) error {
		select {
		case z.orders <- o:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

func (z *zoom) serveToken(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write([]byte(`{"access_token":"token","token_type":"bearer","expires_in":3600}`)) //nolint:errcheck // the client tells
}

func (z *zoom) serveSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	defer func() { cancel(); <-ended }()
	go func() {
		defer close(ended)
		defer cancel()
		answerHeartbeats(ctx, conn)
	}()
	if conn.Write(ctx, websocket.MessageText, []byte(`{"module":"build_connection","success":true,"content":"connection built","header":{}}`)) != nil {
		return
	}
	if writeReport(report{Connected: time.Now().UnixNano()}) != nil {
		return
	}
	for {
		select {
		case o := <-z.orders:
			if writeReport(sendFrames(ctx, conn, o)) != nil {
				os.Exit(1) // the parent is gone
			}
		case <-ctx.Done():
			return
		}
	}
}

// sendFrames writes each event separately, as Zoom does.
func sendFrames(ctx context.Context, conn *websocket.Conn, o order) report {
	frame := newFrame(o.Size)
	r, err := o.send(ctx, func(number int64) error {
		return conn.Write(ctx, websocket.MessageText, frame.stamp(number, time.Now()))
	})
	if err != nil {
		return report{Error: err.Error()}
	}
	return r
}

// answerHeartbeats answers everything that the client sends, which is heartbeats only, until the
// connection ends.
func answerHeartbeats(ctx context.Context, conn *websocket.Conn) {
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			return
		}
		if conn.Write(ctx, websocket.MessageText, []byte(`{"module":"heartbeat","success":true,"content":"live","header":{}}`)) != nil {
			return
		}
	}
}
