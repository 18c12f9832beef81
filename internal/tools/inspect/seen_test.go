package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// answer adds an instance of the replicas' micro service.
func (w *world) answer(replica string, handle func(request micro.Request)) {
	w.t.Helper()
	nc, err := nats.Connect(w.nc.ConnectedUrl())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(nc.Close)
	service, err := micro.AddService(nc, micro.Config{Name: "zoomstream", Version: "0.0.0", QueueGroupDisabled: true, Metadata: map[string]string{"replica": replica}})
	if err == nil {
		err = service.AddEndpoint("seen", micro.HandlerFunc(handle), micro.WithEndpointSubject("zoomstream.zoomstream.seen"))
	}
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestAskSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if answers, err := askSeen(t.Context(), w.nc, "zoomstream", []string{"id"}, time.Hour); err != nil || len(answers) != 0 {
		t.Errorf("nobody answers %v, %v", answers, err)
	}

	at := time.Date(2026, 11, 21, 10, 0, 0, 5, time.UTC)
	for _, replica := range []string{"a", "b"} {
		w.answer(replica, func(request micro.Request) {
			var asked struct{ IDs []string }
			if err := json.Unmarshal(request.Data(), &asked); err != nil || !slices.Equal(asked.IDs, []string{"one", "two"}) {
				t.Errorf("it is asked %s", request.Data())
			}
			request.RespondJSON(SeenAnswer{Replica: replica, Seen: []status.Seen{{ID: "two", Times: 2, Where: "local", First: at, Last: at.Add(time.Second)}}}) //nolint:errcheck
		})
	}
	w.answer("ill", func(request micro.Request) { request.Error("500", "no memory", nil) }) //nolint:errcheck
	w.answer("odd", func(request micro.Request) { request.Respond([]byte("nonsense")) })    //nolint:errcheck
	w.answer("mute", func(micro.Request) {})
	answers, err := askSeen(t.Context(), w.nc, "zoomstream", []string{"one", "two"}, 3*time.Second) // one replica never answers
	slices.SortFunc(answers, func(a, b SeenAnswer) int { return int(a.Replica[0]) - int(b.Replica[0]) })
	if err != nil || len(answers) != 2 || answers[0].Replica != "a" || answers[1].Replica != "b" ||
		!slices.Equal(answers[1].Seen, []status.Seen{{ID: "two", Times: 2, Where: "local", First: at, Last: at.Add(time.Second)}}) {
		t.Errorf("the answers are %+v, %v", answers, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := AskSeen(ctx, w.nc, "zoomstream", []string{"one", "two"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
