// Package simulation runs the whole connector on fake time: replicas, a real
// nats-server and a simulated Zoom in one testing/synctest bubble, under faults
// that a number decides, and then holds the promises of docs/guarantees.md against
// what Zoom's ledger and the stream say. It has tests only.
//
//	go test ./internal/simulation                          many seeds
//	go test ./internal/simulation -run TestSimulation -seed=123 -v    one, with its logs
//	go test ./internal/simulation -run TestSimulation -from=1000 -seeds=5000 -timeout=2h
//
// A seed decides the plan: how many replicas and subscriptions, which faults
// hit whom and when. It does not decide which goroutine runs first, nor what
// others draw from the runtime's random numbers, so a rare failure may need a
// few runs (-count) to show again.
//
// Bytes take a few milliseconds over each link. Without that nothing would
// ever be in flight when a fault strikes: a bubble's clock stands still until
// everybody waits.
package simulation
