package app

import (
	"context"

	"github.com/zoomstream/zoomstream/internal/config"
	"github.com/zoomstream/zoomstream/internal/natsconn"
)

// secrets are the settings that may change while this process runs: those that can be given as
// files.
type secrets struct {
	clientID, clientSecret, accountID, secretToken string
	nats                                           natsconn.Secrets
	alarmWebhook                                   string // its URL
}

func secretsOf(c *config.Config) *secrets {
	return &secrets{
		clientID: c.Zoom.ClientID, clientSecret: c.Zoom.ClientSecret, accountID: c.Zoom.AccountID, secretToken: c.Zoom.SecretToken,
		nats: natsconn.Secrets{URL: c.NATS.URL, Password: c.NATS.Password, Token: c.NATS.Token}, alarmWebhook: c.AlarmWebhookURL,
	}
}

// reload applies the secrets of each configuration received, until ctx ends. It closes no
// connection: Zoom's credentials take effect with the next access token, those of NATS with the
// next connection.
func (m *monitor) reload(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case cfg := <-m.o.Reload:
			changed := m.applySecrets(cfg)
			m.o.Log.Info().Str("code", "config.reloaded").Bool("secrets_changed", changed).Msg("secrets and log level were read again")
		}
	}
}

// rereadSecrets reads the secrets from their files again, after Zoom, NATS or the webhook has
// refused the current ones: where files change by themselves nobody sends SIGHUP. It is safe for
// concurrent use.
func (m *monitor) rereadSecrets() {
	if m.o.Reread == nil {
		return
	}
	cfg, err := m.o.Reread()
	if err != nil {
		m.rereadLog.Error().Str("code", "config.refused").Err(err).Msg("secrets were refused and cannot be read again; keeping the previous ones")
		return
	}
	if m.applySecrets(cfg) {
		m.o.Log.Info().Str("code", "config.reread").Msg("secrets were refused and have changed since; using the new ones")
	}
}

// applySecrets puts the secrets of cfg in use and reports whether they differ from those before.
func (m *monitor) applySecrets(cfg *config.Config) bool {
	now := secretsOf(cfg)
	changed := *now != *m.secrets.Swap(now)
	m.webhook.Wake()
	if r := m.replica.Load(); r != nil {
		r.replaceSecrets()
	}
	return changed
}

func (r *replica) replaceSecrets() {
	s := r.monitor.secrets.Load()
	r.tokens.Replace(s.clientID, s.clientSecret, s.accountID)
}
