// Package config turns flags, environment and a YAML file into one validated [Config].
//
// The struct [Settings] is the table of settings: its tags hold the names, defaults, help texts and
// what the documents' table needs. Names follow one rule:
//
//	ZOOMSTREAM_LEASE_TTL   --lease-ttl        lease_ttl
//	ZOOM_CLIENT_ID         --zoom-client-id   zoom_client_id
//	NATS_URL               --nats-url         nats_url
//
// Precedence is flag, environment, file, default. Kong only parses the command line: its own
// handling of environment and defaults accepts an empty variable as a value, stops at the first
// error and prints invalid values.
//
// For every setting:
//
//   - White space around a value is never part of it: a trailing newline in the client secret is
//     the commonest cause of Zoom's invalid_client.
//   - An empty value counts as not set: Compose and Kubernetes produce empty variables, and one
//     must not hide a lower layer.
//   - All errors are reported at once. Neither errors nor [Config.Effective] contain a secret, or
//     any part of a URL that may be one.
//   - A secret, or NATS_URL, which may hold one, may be given as NAME_FILE instead: the path of a
//     file that contains it.
package config

import (
	"time"

	"github.com/zoomstream/zoomstream/subjects"
)

// Config is the effective, validated configuration.
type Config struct {
	Zoom Zoom
	NATS NATS

	NATSAddr      string // listen address of the embedded server
	NATSAnonymous string // rights of clients without a login on the embedded server: "read" or "none"

	Stream         string
	StreamReplicas int           // 1 to 5
	StreamMaxAge   time.Duration // 0: unlimited
	StreamMaxBytes int64         // 16 MiB or more; 0: unlimited

	Prefix      string        // valid subject tokens, separated by dots
	SubjectKeys subjects.Keys // subject tokens after the event's name
	CloudEvents bool          // also add the CloudEvents headers to events
	Bucket      string        // bucket of the leases
	Replica     string        // valid as a subject token

	LeaseTTL  time.Duration // whole seconds, 3s to 5m
	Heartbeat time.Duration // 1s to 60s
	Renew     string        // renewal of connections: "auto", "always" or "never"

	Dedupe          string // "tracking" or "content"
	DuplicateWindow time.Duration

	SpoolDir string
	SpoolMax int64 // bytes, 16 MiB or more
	DataDir  string

	AlarmLate   time.Duration // 0: off
	AlarmSilent time.Duration // 0: off; AutoSilent: from the subscription's rhythm

	AlarmWebhookURL string // empty: no webhook

	ForwardSecret string // empty: events are not signed

	HTTPAddr      string // host:port; "": off
	HTTPElsewhere bool   // the address is the default: if it is taken, another port will do
	PageEvents    string // whether the status page shows whole events: auto, on or off
	LogLevel      string // trace, debug, info, warn, error
	LogFormat     string // json, console, auto

	// File is the YAML file that was read, as the setting ZOOMSTREAM_CONFIG; its Value is empty if
	// there is none.
	File Value

	values      []Value
	secretFiles []Value // settings that name files with secrets, and the paths
	foreign     []error
}

// field parses the non-empty text of a setting into a field of [Config]. The error says what is
// wrong and what to do.
type field struct {
	setting string
	read    func(text string) error
}

// fields returns the parser of every setting in [Settings].
func fields(c *Config) []field {
	return []field{
		{"ZOOM_CLIENT_ID", checked(&c.Zoom.ClientID, credential)},
		{"ZOOM_CLIENT_SECRET", checked(&c.Zoom.ClientSecret, credential)},
		{"ZOOM_ACCOUNT_ID", checked(&c.Zoom.AccountID, credential)},
		{"ZOOM_WEBSOCKET_URL", endpoints(&c.Zoom.Endpoints)},
		{"ZOOM_OAUTH_URL", checked(&c.Zoom.OAuthURL, tokenURL)},
		{"ZOOM_SECRET_TOKEN", checked(&c.Zoom.SecretToken, credential)},

		{"NATS_URL", servers(&c.NATS.URL)},
		{"NATS_CONTEXT", checked(&c.NATS.Context, oneLine)},
		{"NATS_JS_DOMAIN", checked(&c.NATS.Domain, natsName)},
		{"NATS_CREDS", checked(&c.NATS.Creds, readable)},
		{"NATS_NKEY", checked(&c.NATS.NKey, readable)},
		{"NATS_USER", checked(&c.NATS.User, oneLine)},
		{"NATS_PASSWORD", checked(&c.NATS.Password, oneLine)},
		{"NATS_TOKEN", checked(&c.NATS.Token, oneLine)},
		{"NATS_CA", checked(&c.NATS.CA, readable)},
		{"NATS_CERT", checked(&c.NATS.Cert, readable)},
		{"NATS_KEY", checked(&c.NATS.Key, readable)},
		{"ZOOMSTREAM_NATS_ADDR", checked(&c.NATSAddr, listenAddress)},
		{"ZOOMSTREAM_NATS_ANONYMOUS", oneOf(&c.NATSAnonymous, "read", "none")},

		{"ZOOMSTREAM_STREAM", checked(&c.Stream, natsName)},
		{"ZOOMSTREAM_STREAM_REPLICAS", number(&c.StreamReplicas, 1, 5)},
		{"ZOOMSTREAM_STREAM_MAX_AGE", duration(&c.StreamMaxAge, 0, 0)},
		{"ZOOMSTREAM_STREAM_MAX_BYTES", orNone(&c.StreamMaxBytes, size(&c.StreamMaxBytes, leastSize))}, // a stream of a few bytes would drop what it has just acknowledged
		{"ZOOMSTREAM_PREFIX", checked(&c.Prefix, subjects.CheckPrefix)},
		{"ZOOMSTREAM_SUBJECT_KEY", subjectKeys(&c.SubjectKeys)},
		{"ZOOMSTREAM_CLOUDEVENTS", onOff(&c.CloudEvents)},
		{"ZOOMSTREAM_DEDUPE", oneOf(&c.Dedupe, "tracking", "content")},
		{"ZOOMSTREAM_DUPLICATE_WINDOW", duration(&c.DuplicateWindow, 100*time.Millisecond, 0)}, // nats-server's minimum

		{"ZOOMSTREAM_BUCKET", checked(&c.Bucket, natsName)},
		{"ZOOMSTREAM_REPLICA", checked(&c.Replica, natsName)},
		{"ZOOMSTREAM_LEASE_TTL", duration(&c.LeaseTTL, 3*time.Second, 5*time.Minute)}, // less leaves no room for a renewal and its margin
		{"ZOOMSTREAM_HEARTBEAT", duration(&c.Heartbeat, time.Second, time.Minute)},    // with more, Zoom closes the connection as idle
		{"ZOOMSTREAM_RENEW", oneOf(&c.Renew, "auto", "always", "never")},

		{"ZOOMSTREAM_DATA_DIR", checked(&c.DataDir, oneLine)},
		{"ZOOMSTREAM_SPOOL_DIR", checked(&c.SpoolDir, oneLine)},
		{"ZOOMSTREAM_SPOOL_MAX", size(&c.SpoolMax, leastSize)},

		{"ZOOMSTREAM_ALARM_LATE", threshold(&c.AlarmLate, nil)},
		{"ZOOMSTREAM_ALARM_SILENT", threshold(&c.AlarmSilent, map[string]time.Duration{"auto": AutoSilent})},

		{"ZOOMSTREAM_ALARM_WEBHOOK_URL", checked(&c.AlarmWebhookURL, webhookURL)},

		{"ZOOMSTREAM_FORWARD_SECRET", checked(&c.ForwardSecret, oneLine)},

		{"ZOOMSTREAM_HTTP_ADDR", checked(&c.HTTPAddr, address)},
		{"ZOOMSTREAM_PAGE_EVENTS", oneOf(&c.PageEvents, "auto", "on", "off")},
		{"ZOOMSTREAM_LOG_LEVEL", oneOf(&c.LogLevel, "trace", "debug", "info", "warn", "error")},
		{"ZOOMSTREAM_LOG_FORMAT", oneOf(&c.LogFormat, "json", "console", "auto")},
	}
}

// AutoSilent, as AlarmSilent, derives the threshold from the subscription's own rhythm.
const AutoSilent time.Duration = -1

// Zoom says how to reach Zoom.
type Zoom struct {
	ClientID     string
	ClientSecret string
	AccountID    string     // empty: the grant is client_credentials
	Endpoints    []Endpoint // at least one, each subscription once
	OAuthURL     string
	SecretToken  string // empty: signatures are not checked
}

// Endpoint is one event subscription.
type Endpoint struct {
	URL          string // without an access token
	Subscription string // its subscriptionId; valid as a subject token and in a KV key
}

// NATS says how to reach NATS, in the terms of the nats CLI. Creds, NKey, CA, Cert and Key are
// paths of files.
type NATS struct {
	URL      string // comma-separated, each with a scheme; may hold credentials
	Context  string
	Domain   string // JetStream domain; empty: the context's, else the server's own
	Creds    string
	NKey     string
	User     string
	Password string
	Token    string
	CA       string
	Cert     string
	Key      string
}

// Embedded reports whether no external server is configured, so that the embedded one is started.
func (n NATS) Embedded() bool {
	return n.URL == "" && n.Context == ""
}

// Value is the effective value of a setting, safe to log.
type Value struct {
	Name   string `json:"name"`   // name of the environment variable
	Value  string `json:"value"`  // "***" for a secret that is set
	Source string `json:"source"` // "flag --x", "environment X", "file path:line" or "default"
}

// Foreign returns what [LoadWithoutZoom] found wrong with ZOOM_* variables that are no settings.
func (c *Config) Foreign() []error { return c.foreign }

// HTTPExposed reports whether other machines may be able to reach the HTTP server.
func (c *Config) HTTPExposed() bool { return c.HTTPAddr != "" && !listensOnLoopback(c.HTTPAddr) }

// Effective returns every setting with its source, in the order of the table.
// It is empty for a Config that was not made by [Load].
func (c *Config) Effective() []Value {
	return c.values
}
