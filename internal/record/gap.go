package record

import (
	"fmt"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/message"
)

// GapID names the connections before and after a gap, each by its epoch and its number
// in it, so that the gap is stored once however often it is told of. The nonce is of the
// process that was connected before.
func GapID(subscription, nonce string, epoch, connection, nextEpoch, next uint64) string {
	return fmt.Sprintf("%s%s:%d.%d-%d.%d", gapIDs(subscription), nonce, epoch, connection, nextEpoch, next)
}

// gapIDs begins the ids of a subscription's gaps.
func gapIDs(subscription string) string { return "gap:" + subscription + ":" }

// boundGap cuts a gap to what can have been, and reports whether it is one of this
// subscription.
func boundGap(g *message.Gap, subscription string, now time.Time) bool {
	return g.Subscription == subscription && strings.HasPrefix(g.ID, gapIDs(subscription)) && len(g.ID) <= maxID &&
		!strings.ContainsFunc(g.ID, func(r rune) bool { return r <= ' ' || r > '~' }) &&
		causes.MatchString(string(g.Cause)) && checkNames(g.Replica, g.PreviousReplica) == nil && g.Bound(now) == nil
}
