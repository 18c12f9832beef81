// Package message is the contract between zoomstream and the readers of its stream: the
// headers of an event, and the messages that the bridge itself publishes.
//
// The stream holds four kinds of messages, distinguished by subject ([KindOf]):
//
//	zoom.<event name>       an event: its exact bytes, with headers about it; with
//	                        ZOOMSTREAM_SUBJECT_KEY, its keys follow the name
//	zoom._bridge.gap        a [Gap]: an interval in which no connection was live
//	zoom._bridge.malformed  a [Malformed] frame, or the start of an event that is too large
//	zoom._bridge.alarm      an [Alarm], raised or cleared
//
// where zoom is the connector's ZOOMSTREAM_PREFIX.
//
// Anyone who may publish to these subjects can forge a message. So this package bounds
// everything it parses: it cuts long texts, moves impossible times to the nearest possible
// one, and returns an error for what is no message at all. Texts may hold anything but
// invalid UTF-8; escape them before you show them in a terminal or a browser.
//
// All functions are safe for concurrent use.
package message
