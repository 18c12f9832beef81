// Package natsconn connects zoomstream to NATS: to an external server, or to the embedded one.
//
// Durability of the embedded server: a killed process (kill -9) loses nothing that was
// acknowledged. Neither does a power cut, since every write is synced before it is acknowledged
// (sync_interval: always), provided that the disk honours the sync.
//
// The package knows neither Zoom nor the configuration: its options are plain structs. Its messages
// name the environment variables of the settings, since those are what a person can change.
package natsconn
