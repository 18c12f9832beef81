package record

import (
	"fmt"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/message"
)

// GapID identifies a gap by the connections before and after it, each by its epoch and its
// number in the epoch. So a gap is stored once, however often it is reported. The nonce is
// that of the process that was connected before.
func GapID(subscription, nonce string, epoch, connection, nextEpoch, next uint64) string {
	return fmt.Sprintf("%s%s:%d.%d-%d.%d", gapIDs(subscription), nonce, epoch, connection, nextEpoch, next)
}

// gapIDs begins the ids of a subscription's gaps.
func gapIDs(subscription string) string { return "gap:" + subscription + ":" }

// boundGap limits a gap to what is possible up to now, and reports whether it is a valid gap
// of this subscription.
func boundGap(g *message.Gap, subscription string, now time.Time) bool {
	return g.Subscription == subscription && strings.HasPrefix(g.ID, gapIDs(subscription)) && len(g.ID) <= maxID &&
		!strings.ContainsFunc(g.ID, func(r rune) bool { return r <= ' ' || r > '~' }) &&
		causes.MatchString(string(g.Cause)) && checkNames(g.Replica, g.PreviousReplica) == nil && g.Bound(now) == nil
}
