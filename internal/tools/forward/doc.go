// Package forward delivers the events of the stream to an HTTP endpoint as Zoom's
// webhooks do: the body's bytes, Zoom's header names, a fresh time stamp, signed with the
// endpoint's secret token.
//
// # Parts
//
//	stream ZOOM ──▶ consumer forward-<name> ──▶ window ──▶ lanes ──▶ endpoint
//	                durable, pinned client       │  messages in flight,│
//	                      ▲                      │  in order, each     ├─ 2xx: acknowledge
//	                      └── acknowledgements ──┘  kept alive         └─ given up: stream ZOOM_DEAD,
//	                                                                      then acknowledge
//
// The consumer says how far the endpoint is. The window is what the consumer has
// handed out and has no acknowledgement of: one message, or some for each lane.
// A lane delivers one message at a time. All messages with one key, the id of the event's
// object, else its uuid, else the account, have one lane.
//
// # States of a message
//
//	waiting (in the stream) ─▶ in flight ─▶ trying ─▶ delivered ─▶ acknowledged
//	                             │          │  └─▶ given up ─▶ dead letter stored ─┘
//	                             └──────────┴─ stopped: handed back to the consumer
//
// # Invariants
//
//  1. A message is acknowledged after the endpoint has answered 2xx, or after its dead
//     letter is stored; the acknowledgement is repeated until the server confirms it. So a
//     crash repeats deliveries, and loses none.
//  2. The first delivery of a message comes after those of all earlier ones of its lane.
//     An instance that begins to get messages first waits until it has all that the consumer
//     has handed out to anybody: what a crashed instance left comes again only when its time
//     is up, behind newer messages, and the server does not hold that to the window.
//  3. What is in flight stays in flight: the consumer is told of progress, so that it does not hand it
//     out again. If it does, the message is known by its number and is not delivered twice.
//  4. The consumer hands messages to one instance (NATS' pinned client). Others stand by,
//     and get them once it is gone or silent.
//  5. The consumer has no limit of deliveries: the server gives nothing up.
//  6. The dead letters' stream never removes anything by itself. When it is full it
//     refuses, and then nothing is given up: delivery waits.
//  7. What a limit of the stream or a purge has removed before it was handed out is told as an
//     error, by its numbers: by the instance that gets the messages, or would.
//  8. Neither the secret nor the endpoint's path and query are in a log line, an error or NATS.
package forward
