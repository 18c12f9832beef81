package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/status"
)

// SeenAnswer is a replica's answer.
type SeenAnswer = status.SeenAnswer

// answersWithin is how long replicas may take to answer.
const answersWithin = 500 * time.Millisecond

// AskSeen asks all replicas for the repetitions of messages. Each remembers the
// latest in memory only. Without an answer nothing is known.
func AskSeen(ctx context.Context, nc *nats.Conn, bucket string, ids []string) ([]SeenAnswer, error) {
	request, err := json.Marshal(map[string][]string{"ids": ids})
	if err != nil {
		return nil, fmt.Errorf("ask the replicas: %w", err)
	}
	inbox := nc.NewInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask the replicas: %w", err)
	}
	defer answers.Unsubscribe() //nolint:errcheck // the connection may have gone
	if err := nc.PublishRequest("zoomstream."+bucket+".seen", inbox, request); err != nil {
		return nil, fmt.Errorf("ask the replicas: %w", err)
	}
	waiting, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	var all []SeenAnswer
	for {
		msg, err := answers.NextMsgWithContext(waiting)
		if errors.Is(err, nats.ErrNoResponders) || waiting.Err() != nil && ctx.Err() == nil {
			return all, nil
		}
		if err != nil {
			return all, fmt.Errorf("ask the replicas: %w", err)
		}
		var answer SeenAnswer
		if json.Unmarshal(msg.Data, &answer) == nil && answer.Replica != "" { // else it is an error, or nobody's
			if answer.Seen == nil {
				answer.Seen = []status.Seen{}
			}
			all = append(all, answer)
		}
		if msg.Header.Get("Status") == "503" {
			return all, nil
		}
	}
}
