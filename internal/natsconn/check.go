package natsconn

import (
	"errors"
	"net"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// Check returns the [ConfigError] that [Connect] would return, without connecting: every setting
// that can never work, all at once. It reads the files that the settings name.
func Check(o Options) error {
	nc, _, err := dialServers(o, &events{log: zerolog.Nop()}, nats.SetCustomDialer(nowhere{}), nats.SkipHostLookup())
	if err != nil {
		return err
	}
	nc.Close()
	return nil
}

// nowhere is a dialer that always fails.
type nowhere struct{}

func (nowhere) Dial(string, string) (net.Conn, error) { return nil, errors.New("nothing is dialed") }
