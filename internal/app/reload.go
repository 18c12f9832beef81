package app

import (
	"context"

	"github.com/zoomstream/zoomstream/internal/config"
)

// secrets are the settings that may change while this process runs: those that can
// be given as files.
type secrets struct {
	clientID, clientSecret, accountID, secretToken string
	natsPassword, natsToken                        string
}

func secretsOf(c *config.Config) *secrets {
	return &secrets{
		clientID: c.Zoom.ClientID, clientSecret: c.Zoom.ClientSecret, accountID: c.Zoom.AccountID, secretToken: c.Zoom.SecretToken,
		natsPassword: c.NATS.Password, natsToken: c.NATS.Token,
	}
}

// reload uses the secrets of each configuration that comes, until the context ends.
// No connection is closed for it: Zoom's credentials are for the next access token,
// and NATS' for the next connection.
func (m *monitor) reload(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case cfg := <-m.o.Reload:
			now := secretsOf(cfg)
			changed := *now != *m.secrets.Swap(now)
			if r := m.replica.Load(); r != nil {
				r.replaceSecrets()
			}
			m.o.Log.Info().Str("code", "config.reloaded").Bool("secrets_changed", changed).Msg("secrets and log level are read again")
		}
	}
}

func (r *replica) replaceSecrets() {
	s := r.monitor.secrets.Load()
	r.tokens.Replace(s.clientID, s.clientSecret, s.accountID)
}
