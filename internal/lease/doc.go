// Package lease elects, for each subscription, the one replica that may connect
// to Zoom. The lease of a subscription is an entry in a NATS KV bucket, with the key
// lease.<subscription> and a JSON value ([record.Lease]). It expires by itself after
// the TTL unless its holder renews it. Every write is a compare-and-swap on the
// entry's revision, so only one of several candidates wins.
//
//	           the lease is free, or its holder is dead:
//	           compare-and-swap on the revision seen last
//	follow ------------------------------------------------> lead
//	  ^                                                        |
//	  +--------------------------------------------------------+
//	     lost (the record is gone or another replica's),
//	     released on purpose, or the leader's function returned
//
// # The term
//
// A [Term] begins with the write that took the lease. Its epoch is the revision of
// that write. In a bucket that was created again, revisions start at 1; then the
// epoch is one more than the highest known to the record, this process, or
// [Options].Epoch.
//
// A term is trusted until TTL - margin after the start of the request that last
// proved it, so a slow answer cannot prolong it. Only a trusted term may open a
// connection. A term is not trusted while the connection to NATS is gone, nor after
// a reconnection until it is proven again: other replicas may have found its holder
// dead. A term that is no longer trusted is not lost: its holder keeps what it has
// open, opens nothing, and keeps trying to renew.
//
// A lease is not released while a dial of its term is under way. Deadlines are on
// the monotonic clock, and no decision compares the wall clocks of two machines.
//
// # Renewal
//
// A lease is renewed every third of the TTL or a little sooner, and at once after a
// reconnection to NATS. After a failed write the lease is uncertain, not lost: the
// write may have been made and its acknowledgement lost, or it was refused because
// another write was in flight. So the holder reads the entry from the leader of the
// bucket's stream:
//
//	its own record       adopt the revision and renew again
//	another's record     lost
//	no record            expired. Taken back, as the same term, if the holder was
//	                     connected to Zoom all the time, since nobody else was then;
//	                     otherwise lost
//	no answer            still uncertain: try again
//
// A NATS cluster that lost the server which led the bucket answers again after 4 to
// 9 s. The default TTL of 15 s outlasts that.
//
// # Taking over
//
// A follower tries to take a lease if one of these is true. None is relied upon
// alone: the compare-and-swap decides.
//
//   - The entry is gone: released (purged by its holder at the term's revision) or
//     expired (the server leaves a marker).
//   - The holder's process is gone. Every replica answers requests on a subject of
//     its own, and for a dead one the server answers at once that there is no
//     responder. Twice in a row means death. A time-out does not: it may be due to
//     the network. Nor does it mean death if the replica is heard but has never
//     answered, since questions may not get through, or if the term began after the
//     death was found.
//   - The revision has not changed for a little longer than the TTL, on the
//     follower's own clock. This is needed because a watcher can be silent for 17 s,
//     and the server's expiry needs a stream leader. If the watcher misses a renewal,
//     the follower reads the entry once a second until the watcher reports again.
//
// None of them counts while NATS is unavailable, or in the first seconds afterwards,
// that is, after the follower has reconnected or can read a lease again that it could
// not. In that time the holder, too, finds NATS again and renews or takes back its
// lease. A release counts at once.
//
// A holder that was cut off rather than dead finds its record replaced, or finds out
// when Zoom closes its connection because the new leader connected. So a wrong guess
// costs a handover, but never leads to two connections.
//
// # Sharing
//
// Replicas announce themselves once a second, so each knows its fair share of the
// subscriptions. One that has its share waits a moment before it takes more. One that
// has more releases leases for others, and says so in their markers, so that the new
// holder's record distinguishes a rebalance from another handover. Taking leases is
// rate-limited, so that replicas that start together share from the beginning.
//
// # Concurrency
//
// [Candidate.Run] owns the goroutines that a replica needs once;
// [Candidate.Campaign] owns those of one subscription. Both end with their context,
// Campaign after releasing the lease.
package lease
