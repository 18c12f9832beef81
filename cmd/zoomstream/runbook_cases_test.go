//go:build unix && !race

package main

// runbookCases are what produces what the runbook tells of, by heading.
var runbookCases = map[string]func(*scene){
	"late": caseLate, "silent": caseSilent, "contested": caseContested, "token": caseToken, "stream": caseStream,
	"spooling": caseSpooling, "spool": caseSpool, "spool-full": caseSpoolFull, "consumers": caseConsumers,

	"absent": caseAbsent, "no-leader": caseNoLeader, "two-leaders": caseTwoLeaders, "leader-changes": caseLeaderChanges,
	"lease-margin": caseLeaseMargin, "no-standby": caseNoStandby, "replica-down": caseReplicaDown, "not-ready": caseNotReady,
	"restarts": caseRestarts,

	"not-connected": caseNotConnected, "no-frame": caseNoFrame, "reconnecting": caseReconnecting, "gaps": caseGaps,
	"zoom-delay": caseZoomDelay, "store-slow": caseStoreSlow, "duplicates": caseDuplicates, "malformed": caseMalformed,
	"signature": caseSignature, "nats": caseNATS,

	"Settings are missing":          refusedMissing,
	"A setting is unknown":          refusedUnknown,
	"A setting is wrong":            refusedWrong,
	"Client id or secret":           refusedClient,
	"Account id":                    refusedAccount,
	"Type of the app":               refusedGrant,
	"Subscription id":               refusedSubscription,
	"Zoom refuses the connection":   refusedConnection,
	"NATS is not there":             refusedNoNATS,
	"NATS refuses the credentials":  refusedUser,
	"A permission is missing":       refusedPermission,
	"JetStream is off":              refusedJetStream,
	"The stream is sealed":          refusedSealed,
	"The stream has other subjects": refusedSubjects,
	"The subjects are taken":        refusedTaken,
	"No cluster":                    refusedCluster,
	"The bucket has no TTL":         refusedBucket,
	"The data folder is in use":     refusedFolder,
	"Port 4222 is in use":           refusedPort,
	"The HTTP address is in use":    refusedHTTP,
}
