// Package config turns flags, environment and a YAML file into one validated
// [Config].
//
// There is one table: the struct [Settings]. Its tags are the only source for
// the flags (read by kong), the names of environment variables and file keys,
// the defaults, the help text, the README's table ([Markdown]) and the texts
// of errors. The names follow one rule:
//
//	ZOOMSTREAM_LEASE_TTL   --lease-ttl        lease_ttl
//	ZOOM_CLIENT_ID         --zoom-client-id   zoom_client_id
//	NATS_URL               --nats-url         nats_url
//
// Precedence is flag, environment, file, default. Kong only parses the command
// line: its own handling of environment and defaults is not used, since it
// takes an empty variable for a value, stops at the first error and prints bad
// values.
//
// Rules that hold for every setting:
//
//   - White space around a value is never part of it, in secrets too: a
//     trailing newline in the client secret is the commonest cause of Zoom's
//     invalid_client.
//   - An empty value is no value. Compose and Kubernetes produce empty
//     variables, so one never hides a lower layer.
//   - All errors are reported at once, each naming the setting, the value and
//     where it came from. Secrets, and whatever in a URL may be one, are shown
//     in no error and not by [Config.Effective].
//   - A secret may be given as NAME_FILE instead, the path of a file that
//     holds it, but not as both in one layer.
package config
