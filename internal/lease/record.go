package lease

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/kv"
	"github.com/zoomstream/zoomstream/internal/record"
)

// sameTerm reports whether two records are of one term.
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

// holding is what is known of a lease.
type holding struct {
	known    bool
	revision uint64       // of the entry or its marker; 0: nothing is left
	record   record.Lease // of the holder
	epoch    uint64       // the highest that a record of the lease was ever seen to name; 0: none
	held     bool         // there is one
	freed    bool         // there is none any more
	purged   bool         // it was released
	shed     bool         // by one that had more than its share
	read     bool         // this was read, not watched
	since    time.Time    // when this term was first seen
	changed  time.Time    // when this revision was first seen
	heard    time.Time    // when anything was last heard of it
	told     time.Time    // when the watcher last told of it
}

// decode reads an entry. A value that is no record is a holder that never
// answers: it is taken over when it stays unchanged for a TTL.
func decode(e kv.Entry) holding {
	h := holding{known: true, revision: e.Revision, held: e.Value != nil, purged: e.Purged, shed: e.Purged && e.Reason == reasonRebalance}
	if !h.held {
		return h
	}
	var err error
	if h.record, err = record.ReadLease(e.Value); err != nil {
		h.record = record.Lease{Replica: record.Unknown}
	}
	h.epoch = h.record.Epoch // without one it may be higher than the revision: the bucket may be new
	return h
}
