package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/rs/zerolog"
)

const (
	// gcPercent trades CPU for memory: throughput is high, and what is in use is much only
	// after an outage, when Go's 100 would cost a third more memory at the peak.
	gcPercent = 25
	// ballast counts as in use, but takes no memory, since nothing touches it. With it the
	// collector runs after 8 MiB of garbage at the earliest. In a burst little else is in
	// use, and collecting that 20 times a second would take a quarter of the CPU.
	ballast = 32 << 20
	// memoryRatio is the part of the control group's limit from which Go collects more
	// often. The rest is for what Go does not count.
	memoryRatio = 0.9
)

// tuneMemory sets what Go's collector goes by, unless GOGC and GOMEMLIMIT do. restore is
// to be called at the end.
func tuneMemory(log zerolog.Logger) (restore func()) {
	var unused []byte
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
		unused = make([]byte, ballast)
	}
	// Where there are no control groups, or no limit, there is nothing to be known.
	if limit, err := memlimit.FromCgroup(); err == nil && os.Getenv("GOMEMLIMIT") == "" {
		bound := int64(memoryRatio * float64(limit))
		debug.SetMemoryLimit(bound + int64(len(unused))) // which counts as in use here, too
		log.Info().Str("code", "memory.limited").Int64("bytes", bound).Msg("memory is limited by the control group; Go keeps below nine tenths of it")
	}
	return func() { runtime.KeepAlive(unused) }
}
