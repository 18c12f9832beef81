package lease

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/record"
)

// sameTerm reports whether two records belong to the same term.
func sameTerm(one, other record.Lease) bool {
	return one.Nonce == other.Nonce && one.Since.Equal(other.Since)
}

func encode(r record.Lease) ([]byte, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode the lease: %w", err)
	}
	return value, nil
}

// holding is what is known about a lease.
type holding struct {
	known    bool         // anything is known
	revision uint64       // of the entry or its marker; 0: there is neither
	record   record.Lease // of the holder
	epoch    uint64       // highest epoch in any record of the lease that was seen; 0: none
	held     bool         // there is a holder
	freed    bool         // there was a holder, and is none now
	purged   bool         // it was released
	released uint64       // epoch of the term that released it, if it said so; 0: unknown
	shed     bool         // it was released by a replica that had more than its share
	read     bool         // this was read, not watched
	since    time.Time    // when this term was first seen
	changed  time.Time    // when this revision was first seen
	heard    time.Time    // when the lease was last read, watched or written
	told     time.Time    // when the watcher last reported it
}

// decode decodes an entry. A value that is not a valid record counts as a holder that
// never answers: its lease is taken once it is unchanged for a TTL.
func decode(e kv.Entry) holding {
	h := holding{known: true, revision: e.Revision, held: e.Value != nil, purged: e.Purged, shed: e.Purged && e.Purge.Reason == reasonRebalance, released: e.Purge.Epoch}
	if !h.held {
		return h
	}
	var err error
	if h.record, err = record.ReadLease(e.Value); err != nil {
		h.record = record.Lease{Replica: record.Unknown}
	}
	h.epoch = h.record.Epoch // if it has none, the revision does not replace it: the bucket may be new, and the epoch higher
	return h
}
