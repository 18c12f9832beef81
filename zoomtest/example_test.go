package zoomtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"github.com/zoomstream/zoomstream/zoomtest"
)

// A connector gets an event with the id that the test wants. Once it has lost its connection,
// there is nobody to get one.
func Example() {
	ctx := context.Background()
	sim := zoomtest.New(zoomtest.Options{}) // in a test: sim := zoomtest.Start(t, zoomtest.Options{})
	defer sim.Close()

	conn, err := connect(ctx, sim.Env()) // in a test: exec.Command("zoomstream", "run") with these settings
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.CloseNow()
	if err := sim.WaitReady(ctx); err != nil {
		fmt.Println(err)
		return
	}

	if err := sim.Emit("meeting.started", "payload.object.id=5"); err != nil {
		fmt.Println(err)
		return
	}
	event, _ := read(ctx, conn)
	fmt.Println(event.Event, event.Payload.Object.ID)

	fmt.Println(sim.Emit("meeting.strated"))

	if err := sim.Do("cut"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(errors.Is(sim.Emit("meeting.ended"), zoomtest.ErrNobody))
	for _, e := range sim.Events() {
		fmt.Println(e.Name, e.Outcome)
	}
	// Output:
	// meeting.started 5
	// emit: unknown event "meeting.strated"; did you mean meeting.started, meeting.created, meeting.updated?
	// true
	// meeting.started written
}

// connect does what a connector does with its settings.
func connect(ctx context.Context, env []string) (*websocket.Conn, error) {
	setting := make(map[string]string)
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		setting[name] = value
	}
	grant := strings.NewReader("grant_type=account_credentials&account_id=" + setting["ZOOM_ACCOUNT_ID"])
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, setting["ZOOM_OAUTH_URL"], grant)
	if err != nil {
		return nil, err
	}
	request.SetBasicAuth(setting["ZOOM_CLIENT_ID"], setting["ZOOM_CLIENT_SECRET"])
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var token struct {
		Access string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&token); err != nil {
		return nil, err
	}
	conn, _, err := websocket.Dial(ctx, setting["ZOOM_WEBSOCKET_URL"]+"&access_token="+token.Access, nil)
	return conn, err
}

type event struct {
	Event   string
	Payload struct{ Object struct{ ID any } }
}

// read returns the next event.
func read(ctx context.Context, conn *websocket.Conn) (e event, err error) {
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return e, err
		}
		var frame struct{ Module, Content string }
		if err := json.Unmarshal(data, &frame); err != nil {
			return e, err
		}
		if frame.Module == "message" {
			return e, json.Unmarshal([]byte(frame.Content), &e)
		}
	}
}
