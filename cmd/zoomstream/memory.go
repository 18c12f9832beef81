package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/rs/zerolog"
)

const (
	// gcPercent trades CPU for memory: the throughput is high, and the live heap is large only
	// after an outage, when Go's default of 100 would cost 22 MiB more at the peak.
	gcPercent = 25
	// ballast counts as live heap, in bytes, but takes no memory, since nothing touches it. It
	// makes the collector wait for at least 8 MiB of garbage. In a burst the rest of the live heap
	// is small, and 20 collections a second would take a quarter of the CPU.
	ballast = 32 << 20
	// memoryRatio is the share of the control group's limit at which Go collects more often. The
	// rest is for memory that Go does not count.
	memoryRatio = 0.9
)

// tuneMemory configures Go's garbage collector, unless GOGC and GOMEMLIMIT do. Call restore at the
// end.
func tuneMemory(log zerolog.Logger) (restore func()) {
	var unused []byte
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
		unused = make([]byte, ballast)
	}
	// An error means that there are no control groups, or no limit.
	if limit, err := memlimit.FromCgroup(); err == nil && os.Getenv("GOMEMLIMIT") == "" {
		bound := int64(memoryRatio * float64(limit))
		debug.SetMemoryLimit(bound + int64(len(unused))) // which counts towards the limit as well
		log.Info().Str("code", "memory.limited").Int64("bytes", bound).Msg("memory is limited by the control group; Go tries to stay below nine tenths of it")
	}
	return func() { runtime.KeepAlive(unused) }
}
