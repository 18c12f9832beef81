// Package forward delivers the events of the stream to an HTTP endpoint like Zoom's webhooks: the
// body's bytes, Zoom's header names and a fresh time stamp, signed with the endpoint's secret
// token.
//
// # Parts
//
//	stream ZOOM ──▶ consumer forward-<name> ──▶ window ──▶ lanes ──▶ endpoint
//	                durable, pinned client       │  messages in flight,│
//	                      ▲                      │  in order, each     ├─ 2xx: acknowledge
//	                      └── acknowledgements ──┘  kept alive         └─ given up: stream ZOOM_DEAD,
//	                                                                      then acknowledge
//
// The consumer records how far the endpoint is. The window holds what the consumer has handed out
// and not seen acknowledged: one message, or several per lane. A lane delivers one message at a
// time. All messages with the same key share a lane. The key is the id of the event's object, else
// its uuid, else the account.
//
// # States of a message
//
//	waiting (in the stream) ─▶ in flight ─▶ trying ─▶ delivered ─▶ acknowledged
//	                             │          │  └─▶ given up ─▶ dead letter stored ─┘
//	                             └──────────┴─ stopped: handed back to the consumer
//
// # Invariants
//
//  1. A message is acknowledged after the endpoint has answered 2xx, or after its dead letter is
//     stored; the acknowledgement is repeated until the server confirms it. So a crash repeats
//     deliveries, and loses none.
//  2. The first delivery of a message comes after those of all earlier ones in its lane. An
//     instance that starts to get messages first waits until it has everything that the consumer
//     has handed out to anybody: the messages of a crashed instance come again only after their
//     ack wait, behind newer ones, and the server does not count them against the window.
//  3. What is in flight stays in flight: progress messages keep the consumer from handing it out
//     again. If it does nevertheless, the message is recognised by its sequence and not delivered
//     twice.
//  4. The consumer hands messages to one instance (NATS' pinned client). The others stand by, and
//     get them once that one is gone or silent.
//  5. The consumer has no limit of deliveries: the server gives nothing up.
//  6. The dead letters' stream never removes anything by itself. When it is full it refuses, and
//     then nothing is given up: delivery waits.
//  7. Messages that a limit of the stream or a purge removes before they were handed out are logged
//     as an error, with their sequences, by the instance that gets the messages, or would.
//  8. Neither the secret nor the endpoint's path and query appear in a log line, an error or NATS.
package forward
