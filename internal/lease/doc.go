// Package lease elects, for each subscription, the one replica that may connect
// to Zoom. The lease of a subscription is an entry in a NATS KV bucket, key
// lease.<subscription>, value JSON ([record.Lease]), which expires by itself after the
// TTL unless its holder renews it. Every write is a compare-and-swap on the
// entry's revision, so that of several candidates one wins.
//
//	           the lease is free, or its holder is dead:
//	           compare-and-swap on the revision seen last
//	follow ------------------------------------------------> lead
//	  ^                                                        |
//	  +--------------------------------------------------------+
//	     lost (the record is gone or another's), released on
//	     purpose, or the leader's function returned
//
// # The term
//
// A [Term] begins with the write that took the lease; its epoch is the revision
// of that write. Of a bucket that was made anew revisions begin at 1 again: then it is
// one more than any that the record, this process, or [Options].Epoch knows. It is trusted until TTL - margin after the start of the request
// by which it was last proven: a slow answer cannot stretch it. Only a trusted
// term may open a connection. Nor is it trusted while the connection to NATS is
// gone, and until it is proven anew by the next one: others may have found its
// holder dead. A term that is no longer trusted is not lost: its holder keeps what
// it has open, opens nothing, and goes on trying to renew.
// A lease is not released while a dial of its term is under way.
// Deadlines are on the monotonic clock, and no decision compares the wall clocks
// of two machines.
//
// # Renewal
//
// Every third of the TTL or a little sooner, and at once after the connection to NATS is back. A
// write that fails is uncertain, not lost: it may have been made, and its
// acknowledgement may have been lost, or it was refused because another write
// was in flight. So the entry is read from the leader of the bucket's stream:
//
//	our own record       adopt the revision and renew again
//	another's record     lost
//	no record            it expired. Taken back, as the same term, if its holder has
//	                     been connected to Zoom all the time, since then nobody
//	                     else has; else lost
//	no answer            still uncertain: try again
//
// A cluster of NATS servers that has lost the one that led the bucket answers
// again after 4 to 9 s. The default TTL of 15 s outlasts that.
//
// # Taking over
//
// A follower tries when one of these is true, none of which is trusted alone;
// the compare-and-swap decides:
//
//   - the entry is gone: released (a purge at the term's revision, which its
//     holder makes when it stops) or expired (a marker of the server);
//   - the holder's process is gone: every replica answers requests on a subject
//     of its own; the server answers for a dead one at once that there is no
//     responder. Twice in a row is a death. A time-out is not: it may be the way.
//     Nor is it one of a replica that is heard but has never answered, nor for a term
//     that began after the death was found: questions may not get through;
//   - the revision has not changed for the TTL and a little more, on the
//     follower's own clock: a watcher can be silent for 17 s, and the server's
//     expiry needs a leader. Where the watcher misses a renewal, the entry is
//     read, once a second until it tells of one again.
//
// None of them counts while NATS is away, nor in the first seconds after it: after a
// reconnection of one's own, or when a lease can be read again that could not. In
// that time the holder finds NATS again, too, and renews or takes back its lease. A
// release needs no such time.
//
// A holder that was cut off, and not dead, finds its record replaced, or finds
// out when Zoom closes its connection because the new leader connected. That is
// why a wrong guess costs a handover and never two connections.
//
// # Sharing
//
// Replicas make themselves known once a second, and so each knows its fair share
// of the subscriptions. One that has it waits a moment before it takes more, and
// one that has more releases leases for others to take, and says so in the markers of
// these: the new holder's record tells a rebalance from another handover. All takings are
// paced, so that replicas that start together share at once.
//
// # Concurrency
//
// [Candidate.Run] owns the goroutines that replicas need once;
// [Candidate.Campaign] owns those of one subscription. Both end when their
// context does, Campaign after releasing.
package lease
