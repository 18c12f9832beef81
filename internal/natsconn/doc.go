// Package natsconn connects zoomstream to NATS: to an external server, or to the one it embeds.
//
// What the embedded server survives: a killed process (kill -9) loses nothing that was acknowledged; neither does
// a power cut, since every write is synced before its acknowledgement (sync_interval: always) on a disk that keeps its word.
//
// The package knows neither Zoom nor the configuration: its options are plain structs. Its messages name the
// environment variables of the settings, as these are what a person can change.
package natsconn
