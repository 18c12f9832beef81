package publisher

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream's error codes that condemn the message rather than the moment
// (nats-server, server/errors.json).
const codeMessageTooLarge = 10054

// pubAck is what counts of JetStream's answer to a publish
// (https://docs.nats.io/reference/reference-protocols/nats_api_reference).
type pubAck struct {
	Sequence  uint64
	Duplicate bool
}

// parseAck reads an answer: the acknowledgement, or the error it carries.
func parseAck(msg *nats.Msg, stream string) (pubAck, error) {
	if len(msg.Data) == 0 && msg.Header.Get("Status") == "503" {
		return pubAck{}, jetstream.ErrNoStreamResponse
	}
	name, ack, ok := scanAck(msg.Data)
	if ok && len(name) > 0 && ack.Sequence > 0 && (stream == "" || string(name) == stream) {
		return ack, nil
	}
	var answer struct {
		Stream    string              `json:"stream"`
		Sequence  uint64              `json:"seq"`
		Duplicate bool                `json:"duplicate"`
		Error     *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return pubAck{}, fmt.Errorf("the acknowledgement cannot be read: %w", err)
	}
	switch {
	case answer.Error != nil:
		return pubAck{}, answer.Error
	case answer.Stream == "" || answer.Sequence == 0:
		return pubAck{}, errors.New("the acknowledgement names no stream and sequence")
	case stream != "" && answer.Stream != stream:
		return pubAck{}, fmt.Errorf("stream %s has the subject, not %s", answer.Stream, stream)
	}
	return pubAck{Sequence: answer.Sequence, Duplicate: answer.Duplicate}, nil
}

// permanent reports whether a message can never be stored as it is.
func permanent(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.ErrorCode == codeMessageTooLarge
	}
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject)
}

// replySubject is where the answer to one sending goes: it names the entry and
// the round, since an error that answers an earlier round says nothing any more.
func replySubject(inbox string, number, round uint64) string {
	b := make([]byte, 0, len(inbox)+24)
	b = append(b, inbox...)
	b = append(b, '.')
	b = strconv.AppendUint(b, number, 36)
	b = append(b, '.')
	b = strconv.AppendUint(b, round, 36)
	return string(b)
}

func parseReply(inbox, subject string) (number, round uint64, ok bool) {
	first, second, found := strings.Cut(strings.TrimPrefix(subject, inbox+"."), ".")
	if !found {
		return 0, 0, false
	}
	number, err1 := strconv.ParseUint(first, 36, 64)
	round, err2 := strconv.ParseUint(second, 36, 64)
	return number, round, err1 == nil && err2 == nil
}
