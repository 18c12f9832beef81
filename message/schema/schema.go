// Package schema has a machine-readable description of what zoomstream publishes, made of
// package message: asyncapi.json, an AsyncAPI 3.0 document of all subjects and messages, and
// as JSON Schemas (draft 7) the bodies of gaps (gap.json) and alarms (alarm.json) and the
// headers of malformed frames (malformed.json), whose bodies are raw bytes.
//
// They describe the default prefix, zoom. Later versions may add headers and members. The
// dead letters of zoomstream forward, which are in a stream of their own, are not in it.
package schema

import "embed"

// Files are the documents.
//
//go:embed *.json
var Files embed.FS
