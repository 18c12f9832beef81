package zoomsim_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/coder/websocket"

	"github.com/zoomstream/zoomstream/internal/zoomsim"
)

// A client gets an event, loses its connection, and the ledger tells what it
// missed.
func Example() {
	ctx := context.Background()
	sim := zoomsim.New(zoomsim.Options{})
	server := httptest.NewServer(sim.Handler())
	defer server.Close()
	defer sim.Close() // before the server

	url := strings.Replace(server.URL, "http", "ws", 1) + "/ws?subscriptionId=S1&access_token=" + sim.IssueToken()
	conn, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.CloseNow()
	sim.WaitReady(ctx, "S1")

	sim.Emit("S1", zoomsim.Event{Body: []byte(`{"event":"meeting.started"}`)})
	for range 2 {
		_, frame, _ := conn.Read(ctx)
		fmt.Printf("%s...\n", frame[:58])
	}

	sim.Cut("S1")
	sim.Emit("S1", zoomsim.Event{Body: []byte(`{"event":"meeting.ended"}`)})
	for _, e := range sim.Ledger().Missed() {
		fmt.Println("missed:", e.Event, e.Outcome)
	}
	// Output:
	// {"module":"build_connection","success":true,"content":"con...
	// {"module":"message","content":"{\"event\":\"meeting.starte...
	// missed: meeting.ended nobody
}
