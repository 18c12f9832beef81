package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zoomstream/zoomstream/internal/record"
	"github.com/zoomstream/zoomstream/internal/watch/status"
)

// SeenAnswer is a replica's answer.
type SeenAnswer = status.SeenAnswer

const (
	// answersWithin bounds the wait for replicas' answers.
	answersWithin = 500 * time.Millisecond
	// Limits: the number of answers, which is more than any deployment runs, and the bytes of one.
	maxAnswers = 256
	maxBytes   = 256 << 10
)

// AskSeen asks all replicas about repetitions of messages. Each remembers the latest ones, in
// memory only. If there is no answer, nothing is known.
func AskSeen(ctx context.Context, nc *nats.Conn, bucket string, ids []string) ([]SeenAnswer, error) {
	return askSeen(ctx, nc, bucket, ids, answersWithin)
}

func askSeen(ctx context.Context, nc *nats.Conn, bucket string, ids []string, within time.Duration) ([]SeenAnswer, error) {
	request, err := json.Marshal(map[string][]string{"ids": ids})
	if err != nil {
		return nil, fmt.Errorf("ask the replicas: %w", err)
	}
	inbox := nc.NewInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask the replicas: %w", err)
	}
	defer answers.Unsubscribe()                               //nolint:errcheck // the connection may have gone
	answers.SetPendingLimits(maxAnswers, maxAnswers*maxBytes) //nolint:errcheck // it was made just now
	if err := nc.PublishRequest(status.SeenSubject(bucket), inbox, request); err != nil {
		return nil, fmt.Errorf("ask the replicas: %w", err)
	}
	waiting, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var all []SeenAnswer
	for len(all) < maxAnswers {
		msg, err := answers.NextMsgWithContext(waiting)
		if errors.Is(err, nats.ErrNoResponders) || waiting.Err() != nil && ctx.Err() == nil {
			return all, nil
		}
		if err != nil {
			return all, fmt.Errorf("ask the replicas: %w", err)
		}
		var answer SeenAnswer
		if len(msg.Data) <= maxBytes && json.Unmarshal(msg.Data, &answer) == nil && record.IsName(answer.Replica) { // otherwise an error, or from something else
			answer.Seen = slices.DeleteFunc(append([]status.Seen{}, answer.Seen...), func(s status.Seen) bool { return !slices.Contains(ids, s.ID) })
			answer.Seen = answer.Seen[:min(len(answer.Seen), len(ids))]
			all = append(all, answer)
		}
		if msg.Header.Get("Status") == "503" {
			return all, nil
		}
	}
	return all, nil
}
