package main

import (
	"os"
	"runtime/debug"

	"github.com/zoomstream/zoomstream/internal/app"
	"github.com/zoomstream/zoomstream/internal/config"
)

type runCmd struct {
	Config string `name:"config" placeholder:"FILE" help:"YAML file with settings; keys are the flags' names with underscores."`
	config.Settings
}

// garbage is how much of it there may be for each 100 bytes in use, before it is
// collected: little is in use here and much passes through, so that less than Go's
// 100 saves a third of the memory in a burst or after an outage, for little CPU.
const garbage = 50

// Run runs the connector until a signal comes.
func (c *runCmd) Run(p *process) error {
	cfg, err := config.Load(c.Settings, c.Config, p.environ)
	if err != nil {
		return err
	}
	log := newLogger(p.stderr, cfg.LogLevel, cfg.LogFormat)
	settings := log.Debug()
	for _, v := range cfg.Effective() {
		settings.Str(v.Name, v.Value+" ("+v.Source+")")
	}
	settings.Msg("settings")
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	log.Info().Str("version", currentVersion().String()).Str("replica", cfg.Replica).Int("subscriptions", len(cfg.Zoom.Endpoints)).Msg("zoomstream starts")
	if err := app.Run(p.ctx, app.Options{Config: cfg, Version: currentVersion().Version, StepDown: p.stepDown, Log: log}); err != nil {
		return err
	}
	log.Info().Msg("zoomstream ended")
	return nil
}
