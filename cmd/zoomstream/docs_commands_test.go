//go:build unix && !race

// Excluded under the race detector, which would not see the commands' processes.

package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// docStep is a command of the documents, and what it must do.
type docStep struct {
	line   string
	prints string // pattern that its output must match
	exit   int    // exit code; docAnyExit: any
	stays  bool   // runs until Ctrl-C, which comes at the end of the chapter
	shown  string // another command, which shows that this one works
	bye    string // pattern that its output must match after Ctrl-C
	runs   string // command to run in place of the line
	env    []string
	inTree bool // runs in the tree itself: it needs the tests, which the copy does not have
}

// docChapter is a section of a document. Its blocks run in order, each in a shell of its own.
type docChapter struct {
	page    string
	section string    // empty: the whole page, each of whose lines runs once
	beside  []docStep // steps that run at the same time
	env     []string
	steps   []docStep
}

func (c docChapter) String() string { return strings.TrimSuffix(c.page+": "+c.section, ": ") }

const (
	docAnyExit   = -1
	docConnected = `"message":"connected to Zoom"`
	docStored    = `"events":[1-9]\d*,"stored":[1-9]`
)

// docOneEvent ends when the first event is published.
const docOneEvent = "nats sub 'zoom.>' --count 1"

// docZoom stands in for Zoom. It accepts the documents' placeholders as credentials.
var docZoom = docStep{
	line: "./zoomstream sim --listen 127.0.0.1:8443 --rate 20 --subscription your-subscription-id " +
		"--client-id your-client-id --client-secret your-client-secret --account-id your-account-id",
	stays: true, prints: `export ZOOM_WEBSOCKET_URL=`,
}

// docBadZoom also sends, each second, a frame that is no event and one that the runbook looks for.
var docBadZoom = docStep{
	line: docZoom.line + " --fault 'garbage?subscription=your-subscription-id&kinds=not-json&every=1s'" +
		" --fault 'emit?subscription=your-subscription-id&event=meeting.ended&every=1s'",
	stays: true, prints: docZoom.prints,
}

var docTokens = []string{"ZOOM_OAUTH_URL=http://127.0.0.1:8443/oauth/token"}

// docSettings are the documents' settings for a real account.
var docSettings = []string{
	"ZOOM_OAUTH_URL=http://127.0.0.1:8443/oauth/token",
	"ZOOM_CLIENT_ID=your-client-id", "ZOOM_CLIENT_SECRET=your-client-secret", "ZOOM_ACCOUNT_ID=your-account-id",
	"ZOOM_WEBSOCKET_URL=wss://ws.zoom.us/ws?subscriptionId=your-subscription-id",
}

// docRun is a replica with the embedded NATS server.
var docRun = docStep{line: "./zoomstream run", stays: true, prints: docConnected, shown: docOneEvent, bye: docStored}

// docDemo is what the documents' consumers read from, and docConsumes runs one of them.
var (
	docDemo     = docStep{line: "./zoomstream demo --rate 20", stays: true, prints: `zoom`, exit: docAnyExit}
	docConsumes = docStep{line: "go run consumer.go", stays: true, prints: `^meeting\.\w+ {`, exit: docAnyExit}
)

// docOwnNATS configures a NATS with a system account, like one in production. The runbook asks for
// things that only that account sees.
const docOwnNATS = `listen: 127.0.0.1:4222
server_name: own
jetstream { store_dir: "./data-own" }
accounts {
  SYS { users: [{user: sys, password: sys}] }
  APP { jetstream: enabled, users: [{user: app, password: app}] }
}
system_account: SYS
no_auth_user: app
`

var docSystemAccount = []string{"NATS_USER=sys", "NATS_PASSWORD=sys"}

// docStory has every line of every sh block in the documents, page by page.
var docStory = []docChapter{
	{page: readmePage, section: "Try it", steps: []docStep{
		{line: "make demo", stays: true, prints: `zoom\.meeting\.\w+ +\d\S+ late +#\d`, exit: docAnyExit,
			bye: `Zoom sent \d+ events: [1-9]\d* stored, \d+ lost, 0 doubled`},
		{line: "make test", runs: "make -n test", prints: `^go test .*\./\.\.\.`}, // this test is part of it
		{line: "./zoomstream tail --follow", stays: true, prints: `^20\S+Z  \w+`},
		{line: "make nats"},
		{line: "dist/nats sub 'zoom.>'", stays: true, prints: `Received on "zoom\.`, exit: docAnyExit},
		{line: "curl -X POST 'http://127.0.0.1:8481/control/cut'", prints: `"sockets":1`},
	}},
	{page: readmePage, section: "Install and run", beside: []docStep{docZoom}, env: docTokens, steps: []docStep{
		{line: "make build"},
		{line: "./zoomstream doctor --config zoomstream.yaml", prints: `(?s)token\.grant.*doctor: `},
		{line: "./zoomstream run --config zoomstream.yaml", stays: true, prints: docConnected, shown: docOneEvent, bye: docStored},
	}},
	{page: settingsPage, section: "Zoom's side", beside: []docStep{docZoom}, env: docTokens, steps: []docStep{
		{line: "make build"},
		{line: "./zoomstream run", exit: exitConfig, prints: `not set: ZOOM_CLIENT_ID, ZOOM_CLIENT_SECRET, ZOOM_WEBSOCKET_URL\n(?s:.*)page App Credentials(?s:.*)zoomstream demo`},
		{line: "export ZOOM_CLIENT_ID=your-client-id"},
		{line: "export ZOOM_CLIENT_SECRET=your-client-secret"},
		{line: "export ZOOM_ACCOUNT_ID=your-account-id"},
		{line: "export ZOOM_WEBSOCKET_URL='wss://ws.zoom.us/ws?subscriptionId=your-subscription-id'"},
		docRun,
	}},
	{page: settingsPage, section: "How settings are given", beside: []docStep{docZoom}, env: docTokens, steps: []docStep{
		{line: "./zoomstream config example", prints: `#lease_ttl: 15s`},
		{line: "./zoomstream config check --config zoomstream.yaml", prints: `^The settings can work`},
		{line: "./zoomstream config show --config zoomstream.yaml", prints: `ZOOM_CLIENT_SECRET +\*\*\* +file`},
		{line: "./zoomstream run --config zoomstream.yaml", stays: true, prints: docConnected, shown: docOneEvent, bye: docStored},
	}},
	{page: settingsPage, section: "A NATS of your own", beside: []docStep{docZoom}, env: docSettings, steps: []docStep{
		{line: "go run github.com/nats-io/nats-server/v2 -c nats.conf", stays: true, prints: `Server is ready`, exit: docAnyExit, bye: `Server Exiting`},
		{line: "NATS_URL=nats://127.0.0.1:4222 ./zoomstream run", stays: true, prints: docConnected, shown: docOneEvent, bye: docStored},
	}},
	{page: settingsPage, section: "At a leaf node", beside: []docStep{docZoom}, env: docSettings, steps: []docStep{
		{line: "go run github.com/nats-io/nats-server/v2 -c deploy/nats/hub.conf", stays: true, prints: `Server is ready`, exit: docAnyExit},
		{line: "go run github.com/nats-io/nats-server/v2 -c deploy/nats/leaf.conf", stays: true, prints: `Leafnode connection created`, exit: docAnyExit},
		{line: "NATS_URL=nats://127.0.0.1:4223 NATS_JS_DOMAIN=hub ./zoomstream run", stays: true, prints: docConnected, shown: docOneEvent, bye: docStored},
	}},
	{page: settingsPage, section: "Several replicas", beside: []docStep{docZoom}, env: docSettings, steps: []docStep{
		docRun,
		{line: "NATS_URL_FILE=data/nats.url ZOOMSTREAM_DATA_DIR=data-2 ./zoomstream run", stays: true, prints: `"message":"another replica is running"`},
		{line: "nats kv get zoomstream lease.your-subscription-id --raw", prints: `"replica":"`},
		{line: "nats kv get zoomstream-state state.your-subscription-id --raw", prints: `"state":"connected"`},
	}},
	{page: platformPage, section: "A second cluster", beside: []docStep{docZoom}, env: docSettings, steps: []docStep{
		{line: "go run github.com/nats-io/nats-server/v2 -c deploy/nats/hub.conf", stays: true, prints: `Server is ready`, exit: docAnyExit},
		{line: "go run github.com/nats-io/nats-server/v2 -c deploy/nats/second.conf", stays: true, prints: `Leafnode connection created`, exit: docAnyExit},
		{line: "NATS_URL=nats://127.0.0.1:4222 ./zoomstream run", stays: true, prints: docConnected, shown: docOneEvent, bye: docStored},
		{line: "nats --server nats://127.0.0.1:4223 stream add --config deploy/nats/mirror.json", prints: `Mirror: ZOOM`},
		{line: "nats --server nats://127.0.0.1:4223 stream info ZOOM", prints: `Lag: \d`},
		{line: "NATS_URL=nats://127.0.0.1:4223 ./zoomstream tail --follow", stays: true, prints: `^20\S+Z  \w+`},
	}},
	{page: consumersPage, section: "Live", beside: []docStep{docDemo}, steps: []docStep{
		{line: "nats sub 'zoom.meeting.>'", stays: true, prints: `Received on "zoom\.meeting\.`, exit: docAnyExit},
	}},
	{page: consumersPage, section: "Look at the events", beside: []docStep{docZoom, docRun}, env: docSettings, steps: []docStep{
		{line: "./zoomstream tail --follow", stays: true, prints: `^20\S+Z  meeting\.started +86017254931 `},
		{line: "./zoomstream tail --since 1h --event 'meeting.*,recording.*' --json", prints: `^{"stream_seq":\d+,.*"kind":"event","event":"meeting\.started".*"headers":{"Nats-Msg-Id":`},
		{line: "./zoomstream tail --object '+q/7Zk1dQvGm0yT4nB9x3A==' --headers --body", prints: `(?s)Z  meeting\.started .*    Zoom-Event: .*"uuid": "\+q/7Zk1`},
	}},
	{page: consumersPage, section: "At your own pace", beside: []docStep{docZoom, docRun, docConsumes}, env: docSettings, steps: []docStep{
		{line: "nats consumer add ZOOM billing --pull --deliver all --ack explicit --filter 'zoom.meeting.>' --defaults", prints: `Filter Subject: zoom\.meeting\.>`},
		{line: "nats consumer next ZOOM billing --count 3 --ack", prints: `(?s)Zoom-Event: meeting\..*Acknowledged message`},
		{line: "nats stream info ZOOM", prints: `Subjects: zoom\.>`},
		{line: "NATS_URL=$(cat data/nats.url) nats stream edit ZOOM --max-age 30d --force", prints: `Maximum Age: 30d|No difference`},
	}},
	{page: consumersPage, section: "Replay", beside: []docStep{docZoom, docRun}, env: docSettings, steps: []docStep{
		{line: "nats consumer add ZOOM again --pull --deliver 1h --ack explicit --filter 'zoom.meeting.>' --defaults", prints: `Deliver Policy: Since 20`},
		{line: "nats consumer next ZOOM again --count 3 --ack", prints: `(?s)Zoom-Event: meeting\..*Acknowledged message`},
		{line: "nats consumer rm ZOOM again --force"},
		{line: "./zoomstream tail --since 1h --event 'meeting.*' --json", prints: `"kind":"event","event":"meeting\.`},
	}},
	{page: consumersPage, section: "Dead letters", beside: []docStep{docZoom, docRun}, env: docSettings, steps: []docStep{
		{line: "NATS_URL=$(cat data/nats.url) nats stream add GIVEN_UP --subjects '$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ZOOM.>' --max-age 30d --defaults", prints: `Maximum Age: 30d`},
		{line: "nats consumer add ZOOM mail --pull --deliver all --ack explicit --max-deliver 1 --defaults", prints: `Maximum Deliveries: 1`},
		{line: "nats consumer next ZOOM mail --nak", prints: `Zoom-`},
		{line: "nats consumer next ZOOM mail --ack", prints: `Acknowledged message`},
		{line: "NATS_URL=$(cat data/nats.url) nats stream get GIVEN_UP --last-for '$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ZOOM.mail'", prints: `"stream_seq":\d`},
		{line: "nats stream get ZOOM 1", prints: `Nats-Msg-Id: `},
	}},
	{page: consumersPage, section: "Copies", beside: []docStep{docZoom, docRun}, env: docSettings, steps: []docStep{
		{line: `echo '{"name": "MEETINGS", "num_replicas": 1, "max_age": 31536000000000000, "sources": [{"name": "ZOOM", "filter_subject": "zoom.meeting.>"}]}' > meetings.json`},
		{line: "NATS_URL=$(cat data/nats.url) nats stream add --config meetings.json", prints: `(?s)Maximum Age: 1y.*Subject Filter: zoom\.meeting\.>`},
		{line: `echo '{"name": "COPY", "num_replicas": 1, "mirror": {"name": "ZOOM"}}' > copy.json`},
		{line: "NATS_URL=$(cat data/nats.url) nats stream add --config copy.json", prints: `Mirror: ZOOM`},
	}},
	{page: examplesPage, section: "Something to read", steps: []docStep{
		{line: "make build"},
		{line: "./zoomstream sim --secret-token demo-token", stays: true, prints: `export ZOOM_WEBSOCKET_URL=`},
		{line: "export ZOOM_CLIENT_ID=demo-client ZOOM_CLIENT_SECRET=demo-secret ZOOM_ACCOUNT_ID=demo-account"},
		{line: "export ZOOM_OAUTH_URL=http://127.0.0.1:8481/oauth/token"},
		{line: "export ZOOM_WEBSOCKET_URL='ws://127.0.0.1:8481/ws?subscriptionId=demo'"},
		docRun,
	}},
	{page: examplesPage, section: "go-durable", beside: []docStep{docZoom, docRun}, env: docSettings, steps: []docStep{
		{line: "go run ./examples/go-durable", stays: true, prints: `reading on`, exit: docAnyExit},
		{line: "tail -f go-durable.jsonl", stays: true, prints: `"Event":"meeting\.`, exit: docAnyExit},
	}},
	{page: examplesPage, section: "go-workers", beside: []docStep{docZoom, docRun}, env: docSettings, steps: []docStep{
		{line: "go run ./examples/go-workers -worker 0 -of 2", stays: true, prints: `worker-0-of-2\.jsonl: reading from 1 on`, exit: docAnyExit},
		{line: "go run ./examples/go-workers -worker 1 -of 2", stays: true, prints: `worker-1-of-2\.jsonl: reading from 1 on`, exit: docAnyExit},
		{line: "tail -f worker-0-of-2.jsonl worker-1-of-2.jsonl", stays: true, prints: `"Seq":\d`, exit: docAnyExit},
	}},
	// TestExamples runs these where their packages are available.
	{page: examplesPage, section: "node-webhook", steps: []docStep{
		{line: "npm ci --prefix examples/node-webhook", runs: "ls examples/node-webhook/package-lock.json"},
		{line: "WEBHOOK_SECRET_TOKEN=demo-token node examples/node-webhook/worker.js", runs: "ls examples/node-webhook/worker.js"},
	}},
	{page: examplesPage, section: "python-sqlite", steps: []docStep{
		{line: "python3 -m venv venv", runs: "true"},
		{line: "venv/bin/pip install nats-py", runs: "true"},
		{line: "venv/bin/python examples/python-sqlite/sqlite.py", runs: "ls examples/python-sqlite/sqlite.py"},
		{line: `python3 -c "import sqlite3; print(*sqlite3.connect('messages.db').execute('select event, count(*) from message group by event'), sep='\n')"`, runs: "true"},
	}},
	{page: consumersPage, section: "An existing webhook handler", beside: []docStep{docZoom, docRun}, env: docSettings, steps: []docStep{
		{line: "export ZOOMSTREAM_FORWARD_SECRET=your-secret-token"},
		{line: "./zoomstream forward --to https://hooks.example.com/zoom --event 'meeting.*,recording.*'", stays: true, prints: `delivering events to the endpoint`},
		{line: "export ZOOMSTREAM_FORWARD_SECRET=your-secret-token"},
		{line: "NATS_URL=$(cat data/nats.url) nats stream info ZOOM_DEAD", prints: `Subjects: zoom-dead\.>`},
		{line: "./zoomstream forward --to https://hooks.example.com/zoom --dead", prints: `0 dead letters of hooks-example-com-[0-9a-f]{8} delivered, 0 left`},
	}},
	{page: consumersPage, section: "Packages for your own program", steps: []docStep{
		{line: "go doc ./message", prints: `the contract between zoomstream and`},
	}},
	{page: testingPage, section: "A simulated Zoom", steps: []docStep{
		{line: "./zoomstream sim", stays: true, prints: `export ZOOM_WEBSOCKET_URL=`, bye: `Emitted [1-9]\d*: [1-9]\d* written`},
		{line: "export ZOOM_CLIENT_ID=demo-client ZOOM_CLIENT_SECRET=demo-secret ZOOM_ACCOUNT_ID=demo-account"},
		{line: "export ZOOM_OAUTH_URL=http://127.0.0.1:8481/oauth/token"},
		{line: "export ZOOM_WEBSOCKET_URL='ws://127.0.0.1:8481/ws?subscriptionId=demo'"},
		docRun,
		{line: "curl -X POST 'http://127.0.0.1:8481/control/emit?subscription=demo&event=meeting.started'", prints: `"event":"meeting.started".*"outcome":"(queued|written)"`},
		{line: "curl -X POST 'http://127.0.0.1:8481/control/emit?subscription=demo&event=meeting.started&set=payload.object.id=5&set=payload.object.topic=Retro'", prints: `"outcome":"queued"`},
		{line: "curl -X POST 'http://127.0.0.1:8481/control/meeting?subscription=demo&id=5&pace=100ms'", prints: `"event":"recording.completed".*"meeting":{"id":5,"uuid":`},
		{line: "curl 'http://127.0.0.1:8481/control/samples/meeting.started'", prints: `^{"event":"meeting.started","payload":`},
		{line: "curl -X POST 'http://127.0.0.1:8481/control/duplicate?times=3&for=1m'", prints: `"action":"duplicate"`},
		{line: "curl -X POST 'http://127.0.0.1:8481/control/refuse?mode=new&count=2'", prints: `"action":"refuse"`},
		{line: "curl -X POST 'http://127.0.0.1:8481/control/cut'", prints: `"sockets":1`},
		{line: "curl 'http://127.0.0.1:8481/control/ledger/summary'", prints: `"nobody":\d`},
		{line: "curl 'http://127.0.0.1:8481/control/'", prints: `"standing":.*duplicate`},
	}},
	{page: testingPage, section: "In CI", steps: []docStep{
		{line: "export ZOOM_CLIENT_ID=demo-client ZOOM_CLIENT_SECRET=demo-secret ZOOM_ACCOUNT_ID=demo-account"},
		{line: "export ZOOM_OAUTH_URL=http://127.0.0.1:8481/oauth/token"},
		{line: "export ZOOM_WEBSOCKET_URL='ws://127.0.0.1:8481/ws?subscriptionId=demo'"},
		{line: "export ZOOMSTREAM_NATS_ADDR=127.0.0.1:14222 ZOOMSTREAM_HTTP_ADDR=off ZOOMSTREAM_DATA_DIR=data-ci"},
		{line: "./zoomstream sim --rate 0 &", runs: "./zoomstream sim --rate 0", stays: true},
		{line: "./zoomstream run &", runs: "./zoomstream run", stays: true},
		{line: "until curl -sf -X POST 'http://127.0.0.1:8481/control/meeting?subscription=demo&id=5'; do sleep 0.05; done",
			runs: `sh -c "until curl -sf -X POST 'http://127.0.0.1:8481/control/meeting?subscription=demo&id=5'; do sleep 0.05; done"`, prints: `"meeting":{"id":5,`},
		{line: "NATS_URL=nats://127.0.0.1:14222 ./zoomstream tail", runs: "NATS_URL=nats://127.0.0.1:14222 ./zoomstream tail --since 1h --follow", // which waits for what is on its way
			stays: true, prints: `recording\.completed +5 `},
	}},
	{page: testingPage, section: "Your own events", beside: []docStep{docZoom, docRun}, env: docSettings, steps: []docStep{
		{line: "./zoomstream tail --since 24h --event 'meeting.*,recording.*' --json --anonymize > events.jsonl"},
		{line: "./zoomstream sim --replay events.jsonl --rate 50", stays: true, prints: `export ZOOM_WEBSOCKET_URL=`},
	}},
	{page: testingPage, section: "In Go", steps: []docStep{
		{line: "go doc ./zoomtest", prints: `Package zoomtest simulates Zoom`},
	}},
	{page: platformPage, section: "From the embedded NATS to a server", beside: []docStep{docZoom, docRun}, env: docSettings, steps: []docStep{
		{line: "NATS_URL_FILE=data/nats.url ZOOMSTREAM_DATA_DIR=data-2 ./zoomstream run", stays: true, prints: `"message":"another replica is running"`, bye: docStored},
		{line: "kill $(cat data/nats.pid); while kill -0 $(cat data/nats.pid); do sleep 0.1; done",
			runs: `sh -c 'kill $(cat data/nats.pid); while kill -0 $(cat data/nats.pid); do sleep 0.1; done'`},
		{line: `EMBEDDED_PASSWORD="'$(sed 's/.*:\(.*\)@.*/\1/' data/nats.url)'" go run github.com/nats-io/nats-server/v2 -c deploy/nats/embedded.conf`,
			stays: true, prints: `Server is ready`, shown: "NATS_URL=$(cat data/nats.url) " + docOneEvent, exit: docAnyExit},
	}},
	{page: platformPage, section: "Backup", beside: []docStep{
		docZoom, docRun, {line: "go run github.com/nats-io/nats-server/v2 -p 14222 -js -sd restored", stays: true, prints: `Server is ready`, exit: docAnyExit},
	}, env: docSettings, steps: []docStep{
		{line: "NATS_URL=$(cat data/nats.url) nats stream backup ZOOM backup", prints: `Received .* compressed data`},
		{line: "NATS_URL=nats://127.0.0.1:14222 nats stream restore backup", prints: `Restored stream "ZOOM"`},
	}},
	{page: platformPage, section: "Retention", beside: []docStep{docZoom, docRun}, env: docSettings, steps: []docStep{
		{line: "NATS_URL=$(cat data/nats.url) nats stream edit ZOOM --max-age 21d --force", prints: `Maximum Age: .*21d`},
	}},
	{page: operatingPage, section: "Commands that look", beside: []docStep{docZoom}, env: docSettings, steps: []docStep{
		docRun,
		{line: "./zoomstream status", prints: `your-subscription-id +\S+ .*connected`},
		{line: "./zoomstream doctor", prints: `(?s)nats\.permissions.*subscription\.lease.*doctor: `},
		{line: "./zoomstream gaps --since 24h", prints: `gaps? since`},
		{line: "./zoomstream find '+q/7Zk1dQvGm0yT4nB9x3A=='", prints: `(?s)found by +payload\.object\.uuid.*received +20`},
		{line: "./zoomstream tail --since 1h", prints: `^20\S+Z  \w+`},
		{line: "nats micro info zoomstream", prints: `zoomstream\.zoomstream\.status`},
	}},
	{page: operatingPage, section: "A webhook", beside: []docStep{docZoom}, env: docSettings, steps: []docStep{
		{line: `curl -H 'Content-Type: application/json' -d '{"text": "zoomstream will post its alarms here"}' "$(cat alarm-webhook.txt)"`, prints: `^ok`},
		{line: "ZOOMSTREAM_ALARM_WEBHOOK_URL_FILE=alarm-webhook.txt ./zoomstream doctor", prints: `alarms\.webhook +alarms are posted to http://127\.0\.0\.1:`, exit: docAnyExit},
		{line: "ZOOMSTREAM_ALARM_WEBHOOK_URL_FILE=alarm-webhook.txt ./zoomstream run", stays: true, prints: docConnected, shown: docOneEvent, bye: docStored},
	}},
	{page: operatingPage, section: "Removing a subscription", beside: []docStep{docZoom, docRun}, env: docSettings, steps: []docStep{
		{line: "nats kv del zoomstream-state state.SUBSCRIPTION", runs: "NATS_URL=$(cat data/nats.url) nats kv del zoomstream-state state.gone --force"},
		{line: "nats kv del zoomstream-state rhythm.SUBSCRIPTION", runs: "NATS_URL=$(cat data/nats.url) nats kv del zoomstream-state rhythm.gone --force"},
	}},
	{page: runbookPage, env: slices.Concat(docSettings, []string{"NATS_URL=nats://127.0.0.1:4222", "ZOOMSTREAM_DATA_DIR=data-replica"}), beside: []docStep{
		docBadZoom,
		{line: "go run github.com/nats-io/nats-server/v2 -c own.conf", stays: true, prints: `Server is ready`, exit: docAnyExit},
		{line: "zoomstream run", stays: true, prints: docConnected, shown: "nats sub 'zoom._bridge.malformed' --count 1", bye: docStored},
	}, steps: []docStep{
		{line: "zoomstream status", prints: `your-subscription-id +\S+ .*connected`},
		{line: "zoomstream doctor", prints: `(?s)nats\.permissions.*subscription\.lease.*doctor: `},
		{line: "zoomstream gaps --since 24h", prints: `gaps? since`},
		{line: "nats sub 'zoom._bridge.>'", stays: true, prints: `Subscribing on zoom\._bridge\.>`, exit: docAnyExit},
		{line: "curl -s http://127.0.0.1:8480/status", prints: `"replica":`},
		{line: "zoomstream find TRACKING-ID --since 48h", runs: "zoomstream find '+q/7Zk1dQvGm0yT4nB9x3A==' --since 48h", prints: `received +20`},
		{line: "nats sub 'zoom.>'", stays: true, prints: `Received on "zoom\.`, exit: docAnyExit},
		{line: "nats sub 'zoom._bridge.gap'", stays: true, prints: `Subscribing on zoom\._bridge\.gap`, exit: docAnyExit},
		{line: `curl -sS -o /dev/null -w '%{http_code}\n' -X POST https://zoom.us/oauth/token`, prints: `^4\d\d$`},
		{line: "nats stream info ZOOM", prints: `Subjects: zoom\.>`},
		{line: "nats stream edit ZOOM --discard=old", runs: "nats stream edit ZOOM --discard=old --force"},
		{line: "nats kv get zoomstream-state stream.ZOOM", exit: exitFailure, prints: `key not found`}, // the stream is zoomstream's own,
		{line: "df -h"},
		{line: "export ZOOMSTREAM_SPOOL_MAX=20GiB"},
		{line: "nats consumer report ZOOM", prints: `Consumer report for ZOOM`},
		{line: "nats consumer rm ZOOM CONSUMER", exit: docAnyExit, runs: "nats consumer rm ZOOM CONSUMER --force"},
		{line: "nats stream edit ZOOM --max-age=30d", runs: "nats stream edit ZOOM --max-age=30d --force"},
		{line: "nats stream get ZOOM SEQUENCE", runs: "nats stream get ZOOM 1", prints: `on Subject zoom\.`},
		{line: "pgrep -a zoomstream", prints: `zoomstream`},
		{line: "nats stream info KV_zoomstream", prints: `KV_zoomstream`},
		{line: "zoomstream status --bucket OTHER-BUCKET", exit: exitFailure},
		{line: "nats rtt", prints: `nats://127\.0\.0\.1`},
		{line: "nats server report jetstream", env: docSystemAccount, prints: `own`},
		{line: "uptime"},
		{line: "zoomstream gaps --since 1h", prints: `gaps? since`},
		{line: `curl -sS -o /dev/null -w '%{http_code}\n' https://ws.zoom.us/ws`, prints: `^4\d\d$`},
		{line: "curl -s 'http://127.0.0.1:8480/debug/pprof/goroutine?debug=2'", prints: `^goroutine \d`},
		{line: "zoomstream find TRACKING-ID", runs: "zoomstream find '+q/7Zk1dQvGm0yT4nB9x3A=='", prints: `received +20`},
		{line: "nats stream get ZOOM --last-for zoom._bridge.malformed", prints: `Zoom-Reason-Code: not_json`},
		{line: "nats server check connection", prints: `OK`},
		{line: "zoomstream run --help", prints: `ZOOMSTREAM_LEASE_TTL`},
		{line: "nats -s nats://127.0.0.1:4222 rtt", prints: `nats://127\.0\.0\.1`},
		{line: "nats account info", prints: `JetStream Account Information`},
		{line: "nats stream info ARCHIVE", runs: "nats stream info ZOOM", prints: `Subjects: zoom\.>`},
		{line: "nats kv ls zoomstream", prints: `lease\.your-subscription-id`},
		{line: "ss -ltnp 'sport = :4222'", prints: `LISTEN.*nats-server`},
		{line: "ss -ltnp 'sport = :8480'", prints: `LISTEN.*zoomstream`},
	}},
	{page: performancePage, steps: []docStep{
		{line: "go run ./internal/bench -from dist/bench.json -update docs/performance.md",
			runs: "go run ./internal/bench -from docs/performance.json -update docs/performance.md", prints: `catching up, events/s`},
	}},
	{page: contributingPage, section: "Build and test", steps: []docStep{
		{line: "make", prints: `test +Run all tests`},
		{line: "make build"},
		{line: "make check", runs: "make -n check", prints: `go vet`},
		{line: "make test", runs: "make -n test", prints: `^go test .*\./\.\.\.`},
		{line: "go test ./subjects", prints: `^ok `, inTree: true},
		{line: "go test ./dedupe -run TestID -v", prints: `^--- PASS: TestID`, inTree: true},
	}},
	// These take minutes, or need what is not available everywhere.
	{page: contributingPage, section: "Generate", steps: []docStep{
		{line: "make readme", runs: "make -n readme", prints: `go test .*-update-docs`},
		{line: "make screenshot", runs: "make -n screenshot", prints: `-screenshot`},
		{line: "make recording", runs: "make -n recording", prints: `-recording`},
		{line: "make bench", runs: "make -n bench", prints: `internal/bench`},
	}},
	{page: contributingPage, section: "Seeds, mutants, soak", steps: []docStep{
		{line: "make simulate SEEDS=200 FROM=5000", runs: "make -n simulate SEEDS=200 FROM=5000", prints: `-seeds 200 -from 5000`},
		{line: "go test ./internal/simulation -run TestSimulation -seed=123", prints: `^ok `, inTree: true},
		{line: "make mutants", runs: "make -n mutants", prints: `-mutants`},
		{line: "make soak SOAK=10m", runs: "make -n soak SOAK=10m", prints: `-soak 10m`},
		{line: "make fuzz FUZZTIME=1000000x", runs: "make -n fuzz FUZZTIME=1000000x", prints: `-fuzztime 1000000x`},
	}},
}

// TestDocsCommands runs every command of the documents in a copy of the tree. It changes the text,
// in the commands and in the copy, in two ways only: free ports replace the documents' ports (see
// docPorts), and a simulator's address replaces Zoom's.
func TestDocsCommands(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and runs several programs")
	}
	blocks := make(map[string][]docBlock) // by page
	for _, page := range docPages(t) {
		blocks[page] = docBlocks(t, page)
	}
	checkDocStory(t, blocks)
	w := newDocWorld(t)
	for _, chapter := range docStory {
		t.Run(chapter.String(), func(t *testing.T) { w.play(t, chapter, blocks[chapter.page]) })
	}
}

// checkDocStory fails the test unless the story has every command of the documents.
func checkDocStory(t *testing.T, pages map[string][]docBlock) {
	t.Helper()
	type section struct{ page, name string }
	written := make(map[section][]string)
	whole := make(map[string]bool)
	for _, chapter := range docStory {
		whole[chapter.page] = whole[chapter.page] || chapter.section == ""
	}
	for page, blocks := range pages {
		for _, b := range blocks {
			at := section{page, b.section}
			if whole[page] {
				at.name = ""
			}
			switch b.language {
			case "sh":
				for _, line := range b.lines {
					if !whole[page] || !slices.Contains(written[at], line) {
						written[at] = append(written[at], line)
					}
				}
			case "", "go", "yaml": // a diagram; docWorld handles the others
			default:
				t.Errorf("%s has a block of %q under %q; nothing runs it", page, b.language, b.section)
			}
		}
	}
	for _, chapter := range docStory {
		at := section{chapter.page, chapter.section}
		var known []string
		for _, step := range chapter.steps {
			known = append(known, step.line)
		}
		if !slices.Equal(written[at], known) {
			t.Errorf("%s and docStory differ:\n%s\n%s", chapter, strings.Join(written[at], "\n"), strings.Join(known, "\n"))
		}
		delete(written, at)
	}
	for at, lines := range written {
		t.Errorf("%s: nothing runs what is under %q:\n%s", at.page, at.name, strings.Join(lines, "\n"))
	}
	if t.Failed() {
		t.FailNow()
	}
}

func (w *docWorld) play(t *testing.T, chapter docChapter, blocks []docBlock) {
	w.writeBlocks(t, chapter, blocks)
	for _, step := range chapter.beside {
		w.run(t, chapter.env, step)
	}
	if chapter.section == "" {
		w.shell(t, chapter.env, chapter.steps)
		return
	}
	rest := chapter.steps
	for _, block := range blocks {
		if block.language == "sh" && block.section == chapter.section {
			n := len(block.lines)
			w.shell(t, chapter.env, rest[:n])
			rest = rest[n:]
		}
	}
}

// shell runs steps one after the other. What one exports is set for those after it.
func (w *docWorld) shell(t *testing.T, env []string, steps []docStep) {
	t.Helper()
	env = slices.Clone(env)
	for _, step := range steps {
		if values, ok := strings.CutPrefix(step.line, "export "); ok {
			env = append(env, docExported(values)...)
			continue
		}
		w.run(t, env, step)
	}
}

// run runs a step, or skips it if this machine does not have the program.
func (w *docWorld) run(t *testing.T, env []string, step docStep) {
	t.Helper()
	if program, _, _ := strings.Cut(strings.TrimPrefix(step.line, "until "), " "); slices.Contains([]string{"curl", "pgrep", "ss", "uptime"}, program) {
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("not run, since there is no %s: %s", program, step.line)
			return
		}
	}
	w.start(t, slices.Concat(env, step.env), step)
	if step.shown != "" {
		w.start(t, env, docStep{line: step.shown})
	}
}

// docExported returns what follows the word export.
func docExported(text string) []string {
	values := strings.Fields(text)
	for i := range values {
		values[i] = strings.ReplaceAll(values[i], "'", "")
	}
	return values
}
