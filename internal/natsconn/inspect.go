package natsconn

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// InspectStream looks at the stream and changes nothing. Without one, info is nil, and the findings say what would
// keep [EnsureStream] from creating it.
func InspectStream(ctx context.Context, js jetstream.JetStream, o StreamOptions) (info *jetstream.StreamInfo, findings []Finding, err error) {
	stream, err := js.Stream(ctx, o.Name)
	if err == nil {
		return stream.CachedInfo(), checkStream(stream.CachedInfo().Config, o), nil
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil, err
	}
	names := js.StreamNames(ctx, jetstream.WithStreamListSubject(subjects(o)))
	for name := range names.Name() {
		findings = append(findings, Finding{
			Fatal:   true,
			Problem: fmt.Sprintf("stream %s does not exist, and its subjects %s are held by stream %s", o.Name, subjects(o), name),
			Fix:     fmt.Sprintf("set ZOOMSTREAM_STREAM=%s to use that stream, or another ZOOMSTREAM_PREFIX", name),
		})
	}
	return nil, findings, names.Err()
}
