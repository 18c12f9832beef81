package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/natsconn"
)

// askSettings are the flags of the commands that ask a running zoomstream.
type askSettings struct {
	Config string `name:"config" placeholder:"FILE" help:"YAML file with settings; keys are the flags' names with underscores."`
	config.Settings
}

// natsPatience is how long a command waits for NATS.
const natsPatience = 5 * time.Second

// connect loads the settings and connects to NATS; what Zoom needs may be missing.
func (c *askSettings) connect(p *process, command string) (*config.Config, *nats.Conn, error) {
	cfg, err := config.LoadWithoutZoom(c.Settings, c.Config, p.environ)
	if err != nil {
		return nil, nil, err
	}
	nc, err := connectNATS(p.ctx, cfg, "zoomstream "+command, zerolog.Nop())
	return cfg, nc, err
}

// connectNATS connects as the connector would. Without a setting of NATS that is
// to the server which the connector embeds, in another process.
func connectNATS(ctx context.Context, cfg *config.Config, name string, log zerolog.Logger) (*nats.Conn, error) {
	n := cfg.NATS
	url := n.URL
	if n.Embedded() {
		url = embeddedURL(cfg.DataDir)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, natsPatience, fmt.Errorf("no connection within %s", natsPatience))
	defer cancel()
	nc, err := natsconn.Connect(ctx, natsconn.Options{
		URL: url, Context: n.Context, Creds: n.Creds, NKey: n.NKey, User: n.User, Password: n.Password, Token: n.Token,
		CA: n.CA, Cert: n.Cert, Key: n.Key, Name: name, Log: log,
	})
	if err != nil && n.Embedded() {
		err = fmt.Errorf("%w; if zoomstream runs with another NATS server, set NATS_URL or NATS_CONTEXT as there", err)
	}
	return nc, err
}

// embeddedURL is where the embedded server of a connector with this data folder
// listens.
func embeddedURL(dataDir string) string {
	noted, _ := os.ReadFile(filepath.Join(dataDir, "nats.url")) // without it, where it listens by default
	return cmp.Or(strings.TrimSpace(string(noted)), nats.DefaultURL)
}
