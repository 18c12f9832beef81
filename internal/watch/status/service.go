package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// ServiceOptions says who answers, and with what.
type ServiceOptions struct {
	Bucket, Replica, Nonce string
	Version                string // need not be a semantic version
	// Status and Seen are called once per request, one call at a time, and must not block. The
	// history may be dropped from the answer for its size.
	Status func(history bool) *Replica
	Seen   func(ids []string) []Seen
	// ErrorHandler is called with the error when an answer could not be given; may be nil. Refusals
	// by the server go to the connection's own error handler.
	ErrorHandler func(error)
}

// Seen counts how often a replica received a message that it did not store again.
type Seen struct {
	ID    string    `json:"id"` // Nats-Msg-Id
	Times int       `json:"times"`
	Where string    `json:"where"` // where it was recognised: local or stream
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// SeenAnswer is a replica's answer to a request for repetitions.
type SeenAnswer struct {
	Replica string `json:"replica"`
	Seen    []Seen `json:"seen"`
}

// statusSubject is the subject where replicas are asked for their status.
func statusSubject(bucket string) string { return "zoomstream." + bucket + ".status" }

// SeenSubject is the subject where replicas are asked for repetitions of messages.
func SeenSubject(bucket string) string { return "zoomstream." + bucket + ".seen" }

const (
	serviceName = "zoomstream"
	// Limits of waiting requests. Each costs some work, and whoever asks waits a second or so: more
	// than these are dropped.
	maxRequests     = 256
	maxRequestBytes = 16 << 20
)

// Serve answers requests on a connection until stop is called; after that neither Status nor Seen
// is called. The connection need not be established, and may be lost and return meanwhile. If the
// server refuses one subject, the others are still served.
//
// Stop must be called even after the connection was closed: nobody is notified of that end (see
// natsconn), so the micro library would keep the service.
func Serve(nc *nats.Conn, o ServiceOptions) (stop func(), err error) {
	s := &service{nc: nc, o: o}
	instance, err := addService(nc, s.config())
	if err != nil {
		return nil, fmt.Errorf("answer on NATS as service %s: %w", serviceName, err)
	}
	for _, e := range []struct {
		name, subject string
		answer        micro.HandlerFunc
	}{
		{"status", statusSubject(o.Bucket), s.status},
		{"seen", SeenSubject(o.Bucket), s.seen},
	} {
		if err := instance.AddEndpoint(e.name, e.answer, micro.WithEndpointSubject(e.subject),
			micro.WithEndpointPendingLimits(maxRequests, maxRequestBytes)); err != nil {
			instance.Stop() //nolint:errcheck // nothing was answered yet
			return nil, fmt.Errorf("answer on NATS at %s: %w", e.subject, err)
		}
	}
	return func() { s.stop(instance) }, nil
}

// addService registers an instance. The library accepts semantic versions only, so another version
// becomes 0.0.0; the metadata has the real one.
func addService(nc *nats.Conn, config micro.Config) (micro.Service, error) {
	instance, err := micro.AddService(nc, config)
	if errors.Is(err, micro.ErrConfigValidation) {
		config.Version = "0.0.0"
		return micro.AddService(nc, config)
	}
	return instance, err
}

type service struct {
	nc *nats.Conn
	o  ServiceOptions

	mu      sync.Mutex // held while an answer is made, but not while it is sent
	stopped bool
}

func (s *service) config() micro.Config {
	return micro.Config{
		Name:        serviceName,
		Version:     strings.TrimPrefix(s.o.Version, "v"), // tags have a leading v
		Description: "zoomstream: events of Zoom's WebSocket subscriptions in JetStream",
		Metadata: map[string]string{
			"replica": s.o.Replica, "nonce": s.o.Nonce, "bucket": s.o.Bucket, "version": s.o.Version,
		},
		QueueGroupDisabled: true, // every replica answers
		ErrorHandler:       func(_ micro.Service, err *micro.NATSError) { s.failed(err) },
	}
}

func (s *service) failed(err error) {
	if s.o.ErrorHandler != nil {
		s.o.ErrorHandler(err)
	}
}

func (s *service) stop(instance micro.Service) {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	if err := instance.Stop(); err != nil {
		s.failed(fmt.Errorf("stop service %s: %w", serviceName, err))
	}
}

func (s *service) status(request micro.Request) {
	var question struct {
		History bool `json:"history"`
	}
	if !s.understood(request, &question) {
		return
	}
	s.answer(request, func() ([]byte, error) {
		r := s.o.Status(question.History)
		if r == nil { // nothing to report yet
			r = &Replica{Phase: Starting, Version: s.o.Version, Now: time.Now()}
		}
		full := *r
		full.Replica, full.Nonce = s.o.Replica, s.o.Nonce
		full.Subscriptions, full.Others, full.Alarms = list(r.Subscriptions), list(r.Others), list(r.Alarms)
		return encode(&full, s.limit())
	})
}

func (s *service) seen(request micro.Request) {
	var question struct {
		IDs []string `json:"ids"`
	}
	if !s.understood(request, &question) {
		return
	}
	s.answer(request, func() ([]byte, error) {
		return encodeSeen(s.o.Replica, s.o.Seen(question.IDs), s.limit())
	})
}

// limit is the maximum message size of the server, in bytes.
func (s *service) limit() int { return int(s.nc.MaxPayload()) }

func (s *service) understood(request micro.Request, question any) bool {
	if request.Reply() == "" {
		return false // nobody waits for an answer
	}
	if len(request.Data()) == 0 {
		return true
	}
	err := json.Unmarshal(request.Data(), question)
	if err != nil {
		request.Error("400", "the request is not the expected JSON", nil) //nolint:errcheck // who asks, asks again
	}
	return err == nil
}

func (s *service) answer(request micro.Request, tell func() ([]byte, error)) {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return
	}
	text, err := tell()
	s.mu.Unlock()
	if err == nil {
		err = request.Respond(text)
	} else {
		request.Error("500", "the answer cannot be encoded", nil) //nolint:errcheck // the cause is reported
	}
	if err != nil {
		s.failed(fmt.Errorf("answer at %s: %w", request.Subject(), err))
	}
}

// list turns nil into an empty list, so that JSON has [] instead of null.
func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}
