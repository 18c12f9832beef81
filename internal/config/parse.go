package config

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	durationPart = regexp.MustCompile(`^([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w)`)
	sizeForm     = regexp.MustCompile(`^([0-9]+) *([A-Za-z]*)$`)

	errNoDuration = errors.New("not a duration")
	errTooLong    = errors.New("longer than 290 years")
	errNoSize     = errors.New("not a size")
	errTooBig     = errors.New("larger than 8 EiB")
)

// parseDuration reads Go's syntax with the units d (24 h) and w (7 d) added,
// in any mix: 15s, 7d, 1d12h, 1.5h. It takes no sign; a plain 0 is allowed.
func parseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if s == "" {
		return 0, errNoDuration
	}
	var total time.Duration
	for s != "" {
		m := durationPart.FindStringSubmatch(s)
		if m == nil {
			return 0, errNoDuration
		}
		s = s[len(m[0]):]
		unit, times := m[2], time.Duration(1)
		switch unit {
		case "d":
			unit, times = "h", 24
		case "w":
			unit, times = "h", 7*24
		}
		part, err := time.ParseDuration(m[1] + unit)
		if err != nil || part > (math.MaxInt64-total)/times {
			return 0, errTooLong
		}
		total += part * times
	}
	return total, nil
}

// parseSize reads a number of bytes with an optional unit: B, KB, MB, GB, TB
// are powers of 1000, KiB, MiB, GiB, TiB powers of 1024; case does not count.
// A bare G is refused, since the tools around disagree about it.
func parseSize(s string) (int64, error) {
	m := sizeForm.FindStringSubmatch(s)
	if m == nil {
		return 0, errNoSize
	}
	var unit int64
	switch strings.ToLower(m[2]) {
	case "", "b":
		unit = 1
	case "kb":
		unit = 1e3
	case "mb":
		unit = 1e6
	case "gb":
		unit = 1e9
	case "tb":
		unit = 1e12
	case "kib":
		unit = 1 << 10
	case "mib":
		unit = 1 << 20
	case "gib":
		unit = 1 << 30
	case "tib":
		unit = 1 << 40
	default:
		return 0, errNoSize
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, errTooBig
	}
	return n * unit, nil
}
