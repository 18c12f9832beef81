package main

import (
	"github.com/rs/zerolog"

	"github.com/zoomstream/zoomstream/internal/config"
)

// reload loads the configuration again at each SIGHUP until ended, and sets the log level. If it is
// invalid, the error is logged and nothing changes; otherwise apply gets it.
func reload(log zerolog.Logger, hangUp, ended <-chan struct{}, load func() (*config.Config, error), apply func(*config.Config)) {
	for {
		select {
		case <-hangUp:
		case <-ended:
			return
		}
		cfg, err := load()
		if err != nil {
			log.Error().Str("code", "config.refused").Err(err).Msg("SIGHUP: the configuration is now wrong; keeping the previous one")
			continue
		}
		setLevel(cfg.LogLevel)
		apply(cfg)
	}
}
