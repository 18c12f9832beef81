// Package page is the status page: what all replicas say and what the stream
// holds, live in a browser.
//
// It is one embedded page without a build step or a foreign host. All its viewers
// share one loop that asks the source once a second, as long as anybody watches;
// they get the answers as server-sent events. A whole event, and those that a search
// finds, are read when somebody asks.
package page
