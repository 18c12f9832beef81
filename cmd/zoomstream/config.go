package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/natsconn"
)

type configCmd struct {
	Check   configCheckCmd   `cmd:"" help:"Check all settings as run does, without connecting to anything."`
	Show    configShowCmd    `cmd:"" help:"Show the file that is read, each setting and where its value comes from; *** stands for a secret."`
	Example configExampleCmd `cmd:"" help:"Print a YAML file with every setting, commented out."`
}

type configCheckCmd struct{ askSettings }

// Help is shown below the command's one-line description.
func (configCheckCmd) Help() string {
	return `Exit code 0: the settings can work. 64: the command line is wrong. 78: they cannot; all that is wrong is printed.
zoomstream doctor asks Zoom and NATS, too.`
}

// Run checks the settings.
func (c *configCheckCmd) Run(p *process) error {
	cfg, err := config.Load(c.Settings, c.Config, p.environ)
	if err != nil {
		return err
	}
	if !cfg.NATS.Embedded() {
		if err := natsconn.Check(natsconn.Settings(cfg.NATS).Options()); err != nil {
			return err
		}
	}
	if cfg.HTTPExposed() {
		fmt.Fprintf(p.stdout, "Warning: ZOOMSTREAM_HTTP_ADDR is %s: %s.\n", cfg.HTTPAddr, httpExposed)
	}
	for _, e := range cfg.Exposed() {
		fmt.Fprintf(p.stdout, "Warning: others on this machine may read or write %s (%s, mode %s): %s.\n", e.Path, e.Setting, e.Mode, e.Fix)
	}
	set := 0
	for _, v := range cfg.Effective() {
		if v.Source != "default" {
			set++
		}
	}
	fmt.Fprintf(p.stdout, "The settings can work: %d are set, the others have their defaults. zoomstream doctor asks Zoom and NATS, too.\n", set)
	return nil
}

// httpExposed is the warning about a status page that is reachable beyond loopback.
const httpExposed = "other machines may reach the status page and its figures, which ask for no login; put a proxy in front, or use 127.0.0.1:8480"

type configShowCmd struct {
	askSettings
	JSON bool `name:"json" help:"Print a JSON array of objects with name, value and source."`
}

// Run shows the settings.
func (c *configShowCmd) Run(p *process) error {
	cfg, err := config.LoadWithoutZoom(c.Settings, c.Config, p.environ)
	if err != nil {
		return err
	}
	warnForeign(p, cfg)
	shown := append([]config.Value{cfg.File}, cfg.Effective()...)
	if c.JSON {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(shown)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, v := range shown {
		value := v.Value
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", v.Name, value, v.Source)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, "\n*** stands for a value that is set and may be secret, - for none.")
	return err
}

type configExampleCmd struct{}

// Run prints an example.
func (configExampleCmd) Run(p *process) error {
	_, err := fmt.Fprint(p.stdout, config.Example())
	return err
}
