// Package message is the contract between zoomstream and whoever reads its stream: the
// headers of an event, and the messages that the bridge adds of its own.
//
// The stream holds four kinds of messages, told apart by their subjects ([KindOf]):
//
//	zoom.<event name>       an event: its exact bytes, with headers about it; with
//	                        ZOOMSTREAM_SUBJECT_KEY, its keys stand behind the name
//	zoom._bridge.gap        a [Gap]: an interval in which no connection was live
//	zoom._bridge.malformed  a [Malformed] frame, or the beginning of an event too large
//	zoom._bridge.alarm      an [Alarm], raised or cleared
//
// where zoom is the connector's ZOOMSTREAM_PREFIX.
//
// Whoever may publish to these subjects can forge a message. So what is parsed here is
// bounded, whatever it was: texts are cut, times are moved into what can have been, and
// what is no message at all is an error. The texts may hold anything but invalid UTF-8;
// escape them before a terminal or a browser gets them.
//
// All functions are safe for concurrent use.
package message
