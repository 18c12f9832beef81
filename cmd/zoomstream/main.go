// Command zoomstream publishes the events of Zoom's WebSocket subscriptions to
// NATS JetStream. See the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/natsconn"
	"github.com/zoomstream/zoomstream/internal/provision"
	"github.com/zoomstream/zoomstream/internal/tools/doctor"
	"github.com/zoomstream/zoomstream/internal/tools/forward"
	"github.com/zoomstream/zoomstream/internal/tools/inspect"
	"github.com/zoomstream/zoomstream/internal/zoom"
)

// Exit codes. A Go panic exits with 2, after which a supervisor must restart the process, so usage
// errors have another code (sysexits.h).
const (
	exitOK      = 0
	exitFailure = 1  // restart me
	exitUsage   = 64 // the command line is wrong
	exitConfig  = 78 // configuration or credentials that can never work
)

type cli struct {
	ShowVersion versionFlag `name:"version" help:"Print version, commit, Go version and platform."`

	Run        runCmd        `cmd:"" help:"Hold the subscriptions' connections and publish their events."`
	Status     statusCmd     `cmd:"" uses:"ZOOMSTREAM_BUCKET" help:"Show who leads each subscription, the state of its connection, and who stands by; asks all replicas over NATS."`
	Doctor     doctorCmd     `cmd:"" help:"Check configuration, token, subscriptions and NATS step by step; does not connect where a replica may be connected."`
	Gaps       gapsCmd       `cmd:"" uses:"ZOOMSTREAM_STREAM ZOOMSTREAM_PREFIX ZOOMSTREAM_BUCKET" help:"List the intervals without a connection, and what to read again from Zoom's API."`
	Find       findCmd       `cmd:"" uses:"ZOOMSTREAM_STREAM ZOOMSTREAM_PREFIX ZOOMSTREAM_BUCKET" help:"Find an event in the stream by tracking id, message id or uuid, and show its path."`
	Tail       tailCmd       `cmd:"" uses:"ZOOMSTREAM_STREAM ZOOMSTREAM_PREFIX" help:"Print the events of the stream as lines of text or JSON, those stored or as they arrive."`
	Forward    forwardCmd    `cmd:"" uses:"ZOOMSTREAM_STREAM ZOOMSTREAM_STREAM_REPLICAS ZOOMSTREAM_PREFIX ZOOMSTREAM_FORWARD_SECRET ZOOMSTREAM_LOG_LEVEL ZOOMSTREAM_LOG_FORMAT" help:"Deliver the events of the stream to an HTTP endpoint as Zoom's webhooks do, signed anew."`
	Demo       demoCmd       `cmd:"" help:"Show zoomstream at work without a Zoom account, NATS or any set-up."`
	Sim        simCmd        `cmd:"" help:"Run the Zoom simulator alone, for consumers' own tests."`
	Config     configCmd     `cmd:"" help:"Check the settings, show where each comes from, or print an example file."`
	Completion completionCmd `cmd:"" help:"Print a script that completes commands and flags in bash, zsh or fish."`
	Version    versionCmd    `cmd:"" help:"Print version, commit, Go version and platform."`
	Help       helpCmd       `cmd:"" help:"Show the commands, or the flags of one."`
}

// process is what a command may use of its process.
type process struct {
	ctx            context.Context // ends with the first signal to stop
	stepDown       <-chan struct{} // receives for each SIGUSR2
	stdout, stderr io.Writer
	environ        []string
	ports          ports
	log            zerolog.Logger
}

// ports are the ports on 127.0.0.1 that the demo and the simulator use if they are free. Tests use
// others.
type ports struct {
	nats, zoom int
	pages      [2]int // of the demo's replicas
}

var usualPorts = ports{nats: 4222, zoom: 8481, pages: [2]int{8480, 8482}}

func main() { begin(usualPorts) }

// begin runs the program and exits.
func begin(taken ports) {
	ctx := untilSignal()
	p := &process{ctx: ctx, stepDown: stepDowns(ctx), stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), ports: taken}
	os.Exit(run(p, os.Args[1:]))
}

// untilSignal returns a context that ends with the first signal to stop. From the moment that
// signal has any effect, a second one kills the process. ([signal.NotifyContext] restores the
// default only after its context has ended, and swallows a second signal before.)
func untilSignal() context.Context {
	ctx, end := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process
		<-signals
		signal.Stop(signals)
		end()
	}()
	return ctx
}

// run runs the whole program and returns the exit code.
func run(p *process, args []string) int {
	p.stdout, p.stderr = newPrinter(p.stdout, p.environ), newPrinter(p.stderr, p.environ)
	var c cli
	helped := false
	parser, err := kong.New(&c,
		kong.Name("zoomstream"),
		kong.Description("Holds the one WebSocket that Zoom allows per event subscription and publishes every event to NATS JetStream. "+
			"Each setting is a flag, an environment variable and a key of the file: zoomstream run --help lists them."),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(int) { helped = true }),
		kong.ValueFormatter(config.HelpValue),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.PostBuild(listUsed),
	)
	if err != nil {
		fmt.Fprintln(p.stderr, "zoomstream:", err)
		return exitFailure
	}
	if len(args) > 0 && args[0] == "help" {
		args = append(slices.Clone(args[1:]), "--help")
	}
	command, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "zoomstream: %s; see zoomstream --help\n", config.RedactArgs(err.Error(), args))
		return exitUsage
	}
	p.log = newLogger(p.stderr, "info", "auto")
	if err := command.Run(p); err != nil {
		code, text := exitCode(err), err.Error()
		if code == exitFailure { // a single last line, for whoever reads the end of a log
			text = strings.ReplaceAll(text, "\n", "; ")
		}
		fmt.Fprintln(p.stderr, "zoomstream:", text)
		return code
	}
	return exitOK
}

// exitCode tells a supervisor whether a restart can help.
func exitCode(err error) int {
	if failed, ok := errors.AsType[*doctor.Failed](err); ok && failed.Config {
		return exitConfig
	}
	if is[*inspect.UnknownSubscriptionError](err) {
		return exitUsage
	}
	if is[*config.Error](err) || is[*config.MissingError](err) || is[*natsconn.ConfigError](err) ||
		is[*forward.SetupError](err) || is[*zoom.CredentialsError](err) || is[*provision.StreamError](err) {
		return exitConfig
	}
	return exitFailure
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
