package natsconn

import "errors"

// ErrFolderInUse is wrapped by the error of [StartEmbedded] when another process holds the data folder.
var ErrFolderInUse = errors.New("data folder in use")

// ErrPortInUse is wrapped by the error of [StartEmbedded] when something already listens on the
// address.
var ErrPortInUse = errors.New("port in use")

// ConfigError reports a setting that can never work, however long one waits (exit code 78).
type ConfigError struct {
	Setting string // the environment variable at fault
	Err     error  // what is wrong with it, without secrets
}

func (e *ConfigError) Error() string { return e.Setting + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *ConfigError) Unwrap() error { return e.Err }
