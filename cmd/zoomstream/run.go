package main

import (
	"os"
	"sync"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/app"
	"github.com/zoomstream/zoomstream/internal/config"
)

type runCmd struct {
	Config string `name:"config" placeholder:"FILE" help:"YAML file with settings; keys are the flags' names with underscores."`
	config.Settings
}

// Run runs a replica until a signal comes.
func (c *runCmd) Run(p *process) error {
	load := func() (*config.Config, error) { return config.Load(c.Settings, c.Config, p.environ) }
	cfg, err := load()
	if err != nil {
		return err
	}
	log := newLogger(p.stderr, "trace", cfg.LogFormat)
	setLevel(cfg.LogLevel) // global, so that it can change for all loggers
	log.Debug().Str("code", "settings").Func(func(e *zerolog.Event) {
		for _, v := range cfg.Effective() {
			e.Str(v.Name, v.Value+" ("+v.Source+")")
		}
	}).Msg("settings")
	for _, e := range cfg.Exposed() {
		log.Warn().Str("code", "config.exposed").Str("setting", e.Setting).Str("path", e.Path).Str("mode", e.Mode.String()).Str("fix", e.Fix).Msg("others on this machine may read or write what should be this user's alone")
	}
	if cfg.HTTPExposed() {
		log.Warn().Str("code", "http.exposed").Str("setting", "ZOOMSTREAM_HTTP_ADDR").Str("address", cfg.HTTPAddr).Msg(httpExposed)
	}
	log.Info().Str("code", "start").Str("version", currentVersion().String()).Str("replica", cfg.Replica).Int("subscriptions", len(cfg.Zoom.Endpoints)).Msg("zoomstream starts")
	defer tuneMemory(log)()
	reloaded, ended := make(chan *config.Config), make(chan struct{})
	var reloading sync.WaitGroup
	hangUp := hangUps(p.ctx)
	reloading.Go(func() {
		reload(log, hangUp, ended, load, func(now *config.Config) {
			if changed := changedSettings(cfg, now); len(changed) > 0 {
				log.Warn().Str("code", "config.restart").Strs("settings", changed).Msg("SIGHUP: these settings have changed; the change takes effect after a restart")
			}
			select {
			case reloaded <- now:
			case <-ended:
			}
		})
	})
	err = app.Run(p.ctx, app.Options{
		Config: cfg, Version: currentVersion().Version, Commit: currentVersion().Commit,
		StepDown: p.stepDown, Reload: reloaded, Notify: notifier(), Log: log,
		Reread: load,
	})
	close(ended)
	reloading.Wait()
	if err != nil {
		return err
	}
	log.Info().Str("code", "end").Msg("zoomstream ended")
	return nil
}

// changedSettings names the settings that have changed, except secrets and the log level.
func changedSettings(before, now *config.Config) (names []string) {
	was := make(map[string]string)
	for _, v := range before.Effective() {
		was[v.Name] = v.Value
	}
	for _, v := range now.Effective() { // the values of secrets are masked, and thus equal
		drawn := v.Name == "ZOOMSTREAM_REPLICA" && v.Source == "default"
		if v.Value != was[v.Name] && v.Name != "ZOOMSTREAM_LOG_LEVEL" && !drawn {
			names = append(names, v.Name)
		}
	}
	return names
}

// notifier returns a function that notifies systemd; nil if systemd did not start this process with
// notification.
func notifier() func(state string) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	return func(state string) {
		daemon.SdNotify(false, state) //nolint:errcheck // there may be nobody any more
	}
}
