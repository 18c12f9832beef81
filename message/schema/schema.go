// Package schema has a machine-readable description of what zoomstream publishes, generated
// from package message: asyncapi.json, an AsyncAPI 3.0 document of all subjects and messages,
// and JSON Schemas (draft 7) of the bodies of gaps (gap.json) and alarms (alarm.json) and of
// the headers of malformed frames (malformed.json), whose bodies are raw bytes.
//
// The documents use the default prefix, zoom. Later versions may add headers and members.
// The dead letters of zoomstream forward are in a stream of their own and not described here.
package schema

import "embed"

// Files are the documents.
//
//go:embed *.json
var Files embed.FS
