package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/internal/record"
)

// What is kept in the bucket, and told to other replicas.
type (
	State     = record.State
	ConnState = record.ConnState
)

// The states.
const (
	Connected    = record.Connected
	Disconnected = record.Disconnected
	Displaced    = record.Displaced
	HandedOver   = record.HandedOver
)

// storeTimeout bounds one write, so that it leaves time to find out what is wrong: where
// the bucket is gone and somebody listens to its subjects, nobody answers.
const storeTimeout = journalTimeout / 2

// errSuperseded says that a later term has written the state.
var errSuperseded = errors.New("a later term has written the state")

// load reads the state from the leader of the bucket's stream.
func (b *Bridge) load(ctx context.Context) (last State, revision uint64, err error) {
	entry, err := b.cfg.States.Get(ctx, record.StatePrefix+b.cfg.Subscription)
	if err != nil {
		return State{}, 0, err
	}
	if entry.Value != nil {
		var complete bool
		last, complete, err = record.ReadState(entry.Value, b.cfg.Subscription, b.clock(time.Now()))
		switch {
		case err != nil:
			b.cfg.Log.Warn().Str("code", "state.unreadable").Err(err).Msg("the stored state of the subscription is no state; it is replaced")
			last = State{State: Connected, Nonce: record.Unknown, Replica: record.Unknown} // somebody was connected: nobody can say more
		case !complete:
			b.cfg.Log.Warn().Str("code", "state.unreadable").Msg("the stored state of the subscription has gaps or alarms that no replica writes for it; they are left out")
		}
	}
	if last.Epoch <= b.cfg.Epoch {
		return last, entry.Revision, nil
	}
	if b.over.Load() {
		return last, 0, errSuperseded
	}
	// Unless this term holds the lease all the same: then the state is no later
	// term's, whatever it says.
	if err := b.cfg.Term.Prove(ctx); err != nil {
		if b.over.Load() {
			return last, 0, errSuperseded
		}
		return State{}, 0, err
	}
	return last, entry.Revision, nil
}

// store writes a state at a revision.
func (b *Bridge) store(ctx context.Context, s State, revision uint64) (uint64, error) {
	value, err := json.Marshal(s)
	if err != nil {
		return 0, fmt.Errorf("encode the state: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return b.cfg.States.Put(ctx, record.StatePrefix+b.cfg.Subscription, value, revision, 0)
}
