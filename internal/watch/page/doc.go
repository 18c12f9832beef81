// Package page is the status page: what all replicas report and what the stream holds, live in a
// browser.
//
// It is a single embedded page, without a build step and without foreign hosts. All viewers share
// one loop, which queries the source once a second while anybody watches; they get the answers as
// server-sent events. Whole events and search results are read on request.
package page
