//go:build unix && !race

// Not with the race detector, which would not see the commands' processes.

package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// readmeStep is a command of the README and what it must do.
type readmeStep struct {
	line   string
	prints string // pattern in its output
	exit   int    // its exit code; readmeAnyExit: not looked at
	stays  bool   // it runs until Ctrl-C, which comes at the end of the chapter
	shown  string // a further command by which it shows that it works
	bye    string // pattern in its output after Ctrl-C
	runs   string // run this in place of the line
}

// readmeChapter is a section of the README. Its commands run in order, each
// block in a shell of its own.
type readmeChapter struct {
	section string
	beside  string // what runs meanwhile
	env     []string
	steps   []readmeStep
}

const (
	readmeAnyExit   = -1
	readmeConnected = `"message":"connected to Zoom"`
	readmeStored    = `"events":[1-9]\d*,"stored":[1-9]`
)

// readmeOneEvent ends with the first event that is published.
const readmeOneEvent = "nats sub 'zoom.>' --count 1"

// readmeZoom is the Zoom of the real account; it takes the README's
// placeholders.
const readmeZoom = "./zoomstream sim --listen 127.0.0.1:8443 --rate 20 --subscription your-subscription-id " +
	"--client-id your-client-id --client-secret your-client-secret --account-id your-account-id"

var readmeTokens = []string{"ZOOM_OAUTH_URL=http://127.0.0.1:8443/oauth/token"}

// readmeSettings are those of the README for a real account.
var readmeSettings = []string{
	"ZOOM_OAUTH_URL=http://127.0.0.1:8443/oauth/token",
	"ZOOM_CLIENT_ID=your-client-id", "ZOOM_CLIENT_SECRET=your-client-secret", "ZOOM_ACCOUNT_ID=your-account-id",
	"ZOOM_WEBSOCKET_URL=wss://ws.zoom.us/ws?subscriptionId=your-subscription-id",
}

// readmeStory has every line of every sh block of the README, in its order.
var readmeStory = []readmeChapter{
	{section: "Sixty seconds, no account", steps: []readmeStep{
		{line: "make demo", stays: true, prints: `zoom\.meeting\.\w+ +\d\S+ late +#\d`, exit: readmeAnyExit,
			bye: `Zoom sent \d+ events; \d+ reached the connector, \d+ found no connection; [1-9]\d* are stored`},
		{line: "make nats"},
		{line: "dist/nats sub 'zoom.>'", stays: true, prints: `Received on "zoom\.`, exit: readmeAnyExit},
		{line: "curl -X POST 'http://127.0.0.1:8481/control/cut'", prints: `"sockets":1`},
	}},
	{section: "With a real account", beside: readmeZoom, env: readmeTokens, steps: []readmeStep{
		{line: "make build"},
		{line: "./zoomstream run", exit: exitConfig, prints: `not set: ZOOM_CLIENT_ID, ZOOM_CLIENT_SECRET, ZOOM_WEBSOCKET_URL\n(?s:.*)page App Credentials(?s:.*)zoomstream demo`},
		{line: "export ZOOM_CLIENT_ID=your-client-id"},
		{line: "export ZOOM_CLIENT_SECRET=your-client-secret"},
		{line: "export ZOOM_ACCOUNT_ID=your-account-id"},
		{line: "export ZOOM_WEBSOCKET_URL='wss://ws.zoom.us/ws?subscriptionId=your-subscription-id'"},
		{line: "./zoomstream run", stays: true, prints: readmeConnected, shown: readmeOneEvent, bye: readmeStored},
	}},
	{section: "Consumers", beside: "./zoomstream demo --rate 20", steps: []readmeStep{
		{line: "nats sub 'zoom.meeting.>'", stays: true, prints: `Received on "zoom\.meeting\.`, exit: readmeAnyExit},
		{line: "nats consumer add ZOOM billing --pull --deliver all --ack explicit --filter 'zoom.meeting.>' --defaults", prints: `Filter Subject: zoom\.meeting\.>`},
		{line: "nats consumer next ZOOM billing --count 3 --ack", prints: `(?s)Zoom-Event: meeting\..*Acknowledged message`},
		{line: "nats stream info ZOOM", prints: `Subjects: zoom\.>`},
	}},
	{section: "Settings", beside: readmeZoom, env: readmeTokens, steps: []readmeStep{
		{line: "./zoomstream run --config zoomstream.yaml", stays: true, prints: readmeConnected, shown: readmeOneEvent, bye: readmeStored},
	}},
	{section: "Your own NATS", beside: readmeZoom, env: readmeSettings, steps: []readmeStep{
		{line: "go run github.com/nats-io/nats-server/v2 -c nats.conf", stays: true, prints: `Server is ready`, exit: readmeAnyExit, bye: `Server Exiting`},
		{line: "NATS_URL=nats://127.0.0.1:4222 ./zoomstream run", stays: true, prints: readmeConnected, shown: readmeOneEvent, bye: readmeStored},
	}},
	{section: "Replicas", beside: readmeZoom, env: readmeSettings, steps: []readmeStep{
		{line: "./zoomstream run", stays: true, prints: readmeConnected, bye: readmeStored},
		{line: "NATS_URL_FILE=data/nats.url ZOOMSTREAM_DATA_DIR=data-2 ./zoomstream run", stays: true, prints: `"message":"another replica is there"`},
		{line: "nats kv get zoomstream lease.your-subscription-id --raw", prints: `"replica":"`},
		{line: "nats kv get zoomstream-state state.your-subscription-id --raw", prints: `"state":"connected"`},
	}},
	{section: "The simulator", steps: []readmeStep{
		{line: "./zoomstream sim", stays: true, prints: `export ZOOM_WEBSOCKET_URL=`, bye: `Emitted [1-9]\d*: [1-9]\d* written`},
		{line: "export ZOOM_CLIENT_ID=demo-client ZOOM_CLIENT_SECRET=demo-secret ZOOM_ACCOUNT_ID=demo-account"},
		{line: "export ZOOM_OAUTH_URL=http://127.0.0.1:8481/oauth/token"},
		{line: "export ZOOM_WEBSOCKET_URL='ws://127.0.0.1:8481/ws?subscriptionId=demo'"},
		{line: "./zoomstream run", stays: true, prints: readmeConnected, shown: readmeOneEvent, bye: readmeStored},
		{line: "curl -X POST 'http://127.0.0.1:8481/control/emit?subscription=demo&event=meeting.started'", prints: `"event":"meeting.started".*"outcome":"(queued|written)"`},
		{line: "curl -X POST 'http://127.0.0.1:8481/control/duplicate?times=3&for=1m'", prints: `"action":"duplicate"`},
		{line: "curl -X POST 'http://127.0.0.1:8481/control/refuse?mode=new&count=2'", prints: `"action":"refuse"`},
		{line: "curl 'http://127.0.0.1:8481/control/ledger/summary'", prints: `"nobody":\d`},
		{line: "curl 'http://127.0.0.1:8481/control/'", prints: `"standing":.*duplicate`},
	}},
	{section: "Operation", beside: readmeZoom, env: readmeSettings, steps: []readmeStep{
		{line: "./zoomstream run", stays: true, prints: readmeConnected, shown: readmeOneEvent, bye: readmeStored},
		{line: "./zoomstream status", prints: `your-subscription-id +\S+ .*connected`},
		{line: "nats micro info zoomstream", prints: `zoomstream\.zoomstream\.status`},
		{line: "NATS_URL=$(cat data/nats.url) nats stream edit ZOOM --max-age 30d --force", prints: `Maximum Age: 30d`},
		{line: "./zoomstream doctor", prints: `(?s)nats\.permissions.*subscription\.lease.*doctor: `},
		{line: "./zoomstream gaps --since 24h", prints: `gaps? since`},
		{line: "./zoomstream find '+q/7Zk1dQvGm0yT4nB9x3A=='", prints: `(?s)found by +payload\.object\.uuid.*received +20`},
	}},
	{section: "Packages and development", steps: []readmeStep{
		{line: "go doc ./message", prints: `the contract between zoomstream and whoever reads its stream`},
		{line: "make", prints: `test +Run all tests`},
		{line: "make test", runs: "make -n test", prints: `^go test .*\./\.\.\.`}, // this test is part of it
	}},
}

// TestReadmeCommands runs the README's commands, all of them, in a copy of the
// tree. Of the text only this is changed, in the commands and in the copy:
// the ports 4222, 8480 and 8481 to free ones, and Zoom's address to that of a
// simulator.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and runs several programs")
	}
	blocks := readmeBlocks(t)
	checkReadmeStory(t, blocks)
	w := newReadmeWorld(t, blocks)
	for _, chapter := range readmeStory {
		t.Run(chapter.section, func(t *testing.T) { w.play(t, chapter, blocks) })
	}
}

// checkReadmeStory compares the README with the story.
func checkReadmeStory(t *testing.T, blocks []readmeBlock) {
	t.Helper()
	var written, known []string
	for _, b := range blocks {
		switch b.language {
		case "sh":
			for _, line := range b.lines {
				written = append(written, b.section+": "+line)
			}
		case "", "go", "yaml": // a diagram; the world has the others
		default:
			t.Errorf("README.md has a block of %q under %q; nothing runs it", b.language, b.section)
		}
	}
	for _, chapter := range readmeStory {
		for _, step := range chapter.steps {
			known = append(known, chapter.section+": "+step.line)
		}
	}
	written, known = append(written, "the end"), append(known, "the end")
	for i := range min(len(written), len(known)) {
		if written[i] != known[i] {
			t.Fatalf("README.md and readmeStory part here:\nREADME.md    %s\nreadmeStory  %s", written[i], known[i])
		}
	}
}

func (w *readmeWorld) play(t *testing.T, chapter readmeChapter, blocks []readmeBlock) {
	if chapter.beside != "" {
		w.start(t, chapter.env, readmeStep{line: chapter.beside, stays: true, prints: `zoom`})
	}
	if chapter.section == "Consumers" {
		w.start(t, nil, readmeStep{line: "go run consumer.go", stays: true, prints: `^meeting\.\w+ {`, exit: readmeAnyExit})
	}
	next := 0
	for _, block := range blocks {
		if block.section != chapter.section || block.language != "sh" {
			continue
		}
		env := slices.Clone(chapter.env)
		for range block.lines {
			step := chapter.steps[next]
			next++
			if values, ok := strings.CutPrefix(step.line, "export "); ok {
				env = append(env, readmeExported(values)...)
				continue
			}
			if program, _, _ := strings.Cut(step.line, " "); program == "curl" {
				if _, err := exec.LookPath(program); err != nil {
					t.Logf("not run, since there is no curl: %s", step.line)
					continue
				}
			}
			w.start(t, env, step)
			if step.shown != "" {
				w.start(t, env, readmeStep{line: step.shown})
			}
		}
	}
}

// readmeExported reads what follows the word export.
func readmeExported(text string) []string {
	values := strings.Fields(text)
	for i := range values {
		values[i] = strings.ReplaceAll(values[i], "'", "")
	}
	return values
}
