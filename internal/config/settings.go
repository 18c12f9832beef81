package config

// Settings holds every setting as given on the command line; an empty string means not given. Embed
// it in a kong command and pass it to [Load].
//
// It is the single table of settings. Kong reads the tags name, group, placeholder and help; the
// others are this package's own:
//
//	setting  name of the environment variable
//	preset   default (not kong's "default", which kong would fill in itself)
//	derived  how documentation shows a computed default
//	kind     how careful to be with the value:
//	         secret  never shown
//	         file    NAME_FILE, path of a file with the value of NAME
//	         url     shown without credentials and query
//	         path    not shown in errors: some people paste the content instead
//	where    where Zoom shows the value of a required setting
type Settings struct {
	ZoomClientID         string `name:"zoom-client-id" setting:"ZOOM_CLIENT_ID" group:"Zoom" placeholder:"ID" kind:"secret" where:"page App Credentials: Client ID" help:"Client id of the Zoom app."`
	ZoomClientIDFile     string `name:"zoom-client-id-file" setting:"ZOOM_CLIENT_ID_FILE" group:"Zoom" placeholder:"FILE" kind:"file" help:"File that holds the client id."`
	ZoomClientSecret     string `name:"zoom-client-secret" setting:"ZOOM_CLIENT_SECRET" group:"Zoom" placeholder:"SECRET" kind:"secret" where:"page App Credentials: Client Secret" help:"Client secret of the Zoom app."`
	ZoomClientSecretFile string `name:"zoom-client-secret-file" setting:"ZOOM_CLIENT_SECRET_FILE" group:"Zoom" placeholder:"FILE" kind:"file" help:"File that holds the client secret."`
	ZoomAccountID        string `name:"zoom-account-id" setting:"ZOOM_ACCOUNT_ID" group:"Zoom" placeholder:"ID" kind:"secret" help:"Account id of a Server-to-Server app. If it is set, the grant is account_credentials, else client_credentials."`
	ZoomAccountIDFile    string `name:"zoom-account-id-file" setting:"ZOOM_ACCOUNT_ID_FILE" group:"Zoom" placeholder:"FILE" kind:"file" help:"File that holds the account id."`
	ZoomWebSocketURL     string `name:"zoom-websocket-url" setting:"ZOOM_WEBSOCKET_URL" group:"Zoom" placeholder:"URL" kind:"url" where:"page Feature (Access in a general app): Event Subscriptions, method WebSocket, the endpoint URL" help:"Endpoint URL of the event subscription as Zoom's page shows it; several separated by comma or space."`
	ZoomOAuthURL         string `name:"zoom-oauth-url" setting:"ZOOM_OAUTH_URL" group:"Zoom" placeholder:"URL" kind:"url" preset:"https://zoom.us/oauth/token" help:"Zoom's token endpoint."`
	ZoomSecretToken      string `name:"zoom-secret-token" setting:"ZOOM_SECRET_TOKEN" group:"Zoom" placeholder:"TOKEN" kind:"secret" help:"Secret token of the event subscription. If it is set, the signature of every event is checked."`
	ZoomSecretTokenFile  string `name:"zoom-secret-token-file" setting:"ZOOM_SECRET_TOKEN_FILE" group:"Zoom" placeholder:"FILE" kind:"file" help:"File that holds the secret token."`

	NATSURL          string `name:"nats-url" setting:"NATS_URL" group:"NATS" placeholder:"URL" kind:"url" help:"NATS servers, comma separated. Without it and without a context, an embedded server is started."`
	NATSURLFile      string `name:"nats-url-file" setting:"NATS_URL_FILE" group:"NATS" placeholder:"FILE" kind:"file" help:"File that holds the NATS servers, possibly with a login, such as nats.url in the data folder of an embedded server."`
	NATSContext      string `name:"nats-context" setting:"NATS_CONTEXT" group:"NATS" placeholder:"NAME" help:"Context of the nats command line tool to connect with."`
	NATSJSDomain     string `name:"nats-js-domain" setting:"NATS_JS_DOMAIN" group:"NATS" placeholder:"DOMAIN" help:"JetStream domain, if it is not the server's own, such as that of a leaf node's hub."`
	NATSCreds        string `name:"nats-creds" setting:"NATS_CREDS" group:"NATS" placeholder:"FILE" kind:"path" help:"Credentials file."`
	NATSNKey         string `name:"nats-nkey" setting:"NATS_NKEY" group:"NATS" placeholder:"FILE" kind:"path" help:"File that holds an nkey seed."`
	NATSUser         string `name:"nats-user" setting:"NATS_USER" group:"NATS" placeholder:"USER" help:"User name; needs a password."`
	NATSPassword     string `name:"nats-password" setting:"NATS_PASSWORD" group:"NATS" placeholder:"PASSWORD" kind:"secret" help:"Password of the user."`
	NATSPasswordFile string `name:"nats-password-file" setting:"NATS_PASSWORD_FILE" group:"NATS" placeholder:"FILE" kind:"file" help:"File that holds the password."`
	NATSToken        string `name:"nats-token" setting:"NATS_TOKEN" group:"NATS" placeholder:"TOKEN" kind:"secret" help:"Token to log in with."`
	NATSTokenFile    string `name:"nats-token-file" setting:"NATS_TOKEN_FILE" group:"NATS" placeholder:"FILE" kind:"file" help:"File that holds the token."`
	NATSCA           string `name:"nats-ca" setting:"NATS_CA" group:"NATS" placeholder:"FILE" kind:"path" help:"Certificates of the authorities to trust (PEM)."`
	NATSCert         string `name:"nats-cert" setting:"NATS_CERT" group:"NATS" placeholder:"FILE" kind:"path" help:"Client certificate (PEM); needs a key."`
	NATSKey          string `name:"nats-key" setting:"NATS_KEY" group:"NATS" placeholder:"FILE" kind:"path" help:"Private key of the client certificate (PEM)."`

	NATSAddr      string `name:"nats-addr" setting:"ZOOMSTREAM_NATS_ADDR" group:"NATS" placeholder:"HOST:PORT" preset:"127.0.0.1:4222" help:"Where the embedded server listens; port 0 picks one."`
	NATSAnonymous string `name:"nats-anonymous" setting:"ZOOMSTREAM_NATS_ANONYMOUS" group:"NATS" placeholder:"RIGHTS" preset:"read" help:"What the embedded server lets a client without a login do: read (events, consumers, status) or none."`

	Stream          string `name:"stream" setting:"ZOOMSTREAM_STREAM" group:"Stream" placeholder:"NAME" preset:"ZOOM" help:"Stream for the events; created if missing, never altered."`
	StreamReplicas  string `name:"stream-replicas" setting:"ZOOMSTREAM_STREAM_REPLICAS" group:"Stream" placeholder:"N" preset:"1" help:"Copies of the stream and of the buckets in the NATS cluster, 1 to 5; used when they are created."`
	StreamMaxAge    string `name:"stream-max-age" setting:"ZOOMSTREAM_STREAM_MAX_AGE" group:"Stream" placeholder:"DURATION" preset:"7d" help:"How long the stream keeps an event; used when it is created. 0 is for ever."`
	StreamMaxBytes  string `name:"stream-max-bytes" setting:"ZOOMSTREAM_STREAM_MAX_BYTES" group:"Stream" placeholder:"SIZE" preset:"0" help:"Size at which the stream drops its oldest events, 16MiB or more; used when it is created. 0 is no limit."`
	Prefix          string `name:"prefix" setting:"ZOOMSTREAM_PREFIX" group:"Stream" placeholder:"TOKENS" preset:"zoom" help:"First token(s) of every subject."`
	SubjectKey      string `name:"subject-key" setting:"ZOOMSTREAM_SUBJECT_KEY" group:"Stream" placeholder:"KEYS" preset:"off" help:"Keys of the event that follow its name in the subject, one token each: object (id of payload.object), account, account.object, or off. Where an event has no such key, the token is _."`
	CloudEvents     string `name:"cloudevents" setting:"ZOOMSTREAM_CLOUDEVENTS" group:"Stream" placeholder:"MODE" preset:"off" help:"on: events also have the headers of CloudEvents in binary mode (ce-id, ce-type and others); off: they do not."`
	Dedupe          string `name:"dedupe" setting:"ZOOMSTREAM_DEDUPE" group:"Stream" placeholder:"MODE" preset:"tracking" help:"Message id: tracking (Zoom's tracking id and a digest of the event) or content (the digest alone)."`
	DuplicateWindow string `name:"duplicate-window" setting:"ZOOMSTREAM_DUPLICATE_WINDOW" group:"Stream" placeholder:"DURATION" preset:"30m" help:"Duplicate window of the stream; used when it is created."`

	Bucket    string `name:"bucket" setting:"ZOOMSTREAM_BUCKET" group:"Replicas" placeholder:"NAME" preset:"zoomstream" help:"Key-value bucket of the leases; the state is in a second bucket, with -state added to the name."`
	Replica   string `name:"replica" setting:"ZOOMSTREAM_REPLICA" group:"Replicas" placeholder:"NAME" derived:"<host name>-<random>" help:"Name of this replica."`
	LeaseTTL  string `name:"lease-ttl" setting:"ZOOMSTREAM_LEASE_TTL" group:"Replicas" placeholder:"DURATION" preset:"15s" help:"Life of a lease, in whole seconds, 3s to 5m; bounds the gap after the loss of a host."`
	Heartbeat string `name:"heartbeat" setting:"ZOOMSTREAM_HEARTBEAT" group:"Replicas" placeholder:"DURATION" preset:"25s" help:"Period of the heartbeat to Zoom, 1s to 60s; a socket silent for two periods is dead."`
	Renew     string `name:"renew" setting:"ZOOMSTREAM_RENEW" group:"Replicas" placeholder:"WHEN" preset:"auto" help:"Whether a connection is replaced before its token expires: always, never, or auto: once Zoom has been seen to close one then."`

	DataDir  string `name:"data-dir" setting:"ZOOMSTREAM_DATA_DIR" group:"Disk" placeholder:"DIR" preset:"./data" help:"Folder of the embedded NATS server and the spool."`
	SpoolDir string `name:"spool-dir" setting:"ZOOMSTREAM_SPOOL_DIR" group:"Disk" placeholder:"DIR" derived:"<data dir>/spool" help:"Folder for events that NATS does not take yet."`
	SpoolMax string `name:"spool-max" setting:"ZOOMSTREAM_SPOOL_MAX" group:"Disk" placeholder:"SIZE" preset:"1GiB" help:"Size limit of the spool, 16MiB or more."`

	AlarmLate   string `name:"alarm-late" setting:"ZOOMSTREAM_ALARM_LATE" group:"Operation" placeholder:"DURATION" preset:"5m" help:"Alarm late: most of the latest events were received more than this long after they happened; off disables it."`
	AlarmSilent string `name:"alarm-silent" setting:"ZOOMSTREAM_ALARM_SILENT" group:"Operation" placeholder:"DURATION" preset:"auto" help:"Alarm silent: connected, but no event for this long; auto: for three hours or more, if each of the two weeks before had at least 20 in the same hours; off disables it."`

	AlarmWebhookURL     string `name:"alarm-webhook-url" setting:"ZOOMSTREAM_ALARM_WEBHOOK_URL" group:"Operation" placeholder:"URL" kind:"secret" help:"Incoming webhook (of Slack, Mattermost or the like, or your own) to which this replica posts each of its alarms when it is raised and when it is cleared: https, or http on this machine."`
	AlarmWebhookURLFile string `name:"alarm-webhook-url-file" setting:"ZOOMSTREAM_ALARM_WEBHOOK_URL_FILE" group:"Operation" placeholder:"FILE" kind:"file" help:"File that holds the URL of the alarms' webhook."`

	ForwardSecret     string `name:"forward-secret" setting:"ZOOMSTREAM_FORWARD_SECRET" group:"Operation" placeholder:"TOKEN" kind:"secret" help:"Secret token with which zoomstream forward signs what it delivers: the one that the endpoint checks."`
	ForwardSecretFile string `name:"forward-secret-file" setting:"ZOOMSTREAM_FORWARD_SECRET_FILE" group:"Operation" placeholder:"FILE" kind:"file" help:"File that holds the secret token of forward."`

	HTTPAddr   string `name:"http-addr" setting:"ZOOMSTREAM_HTTP_ADDR" group:"Operation" placeholder:"HOST:PORT" preset:"127.0.0.1:8480" help:"Address of metrics, health and status page; port 0 picks one and logs it, off disables it."`
	PageEvents string `name:"page-events" setting:"ZOOMSTREAM_PAGE_EVENTS" group:"Operation" placeholder:"WHEN" preset:"auto" help:"Whether the status page shows whole events and searches them, to every user of this machine: on, off, or auto: only with an embedded NATS server that lets clients without a login read. In any case only on a loopback address."`
	LogLevel   string `name:"log-level" setting:"ZOOMSTREAM_LOG_LEVEL" group:"Operation" placeholder:"LEVEL" preset:"info" help:"Lowest level that is logged: trace, debug, info, warn or error."`
	LogFormat  string `name:"log-format" setting:"ZOOMSTREAM_LOG_FORMAT" group:"Operation" placeholder:"FORMAT" preset:"auto" help:"json, console, or auto: console on a terminal, else json."`
}
