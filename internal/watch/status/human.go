package status

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Visible escapes control characters that a terminal would act on, and characters that it would not
// show. Names, details and topics come from outside.
func Visible(text string) string {
	if strings.IndexFunc(text, hidden) < 0 && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case hidden(r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

func hidden(r rune) bool { return !unicode.IsPrint(r) }

// JSON returns the overview as JSON that is safe for a terminal: it also escapes characters that
// encoding/json leaves alone and a terminal may act on (DEL, C1, direction marks).
func (o *Overview) JSON(indent string) ([]byte, error) {
	text, err := json.MarshalIndent(o, "", indent)
	if indent == "" {
		text, err = json.Marshal(o)
	}
	if err != nil {
		return nil, fmt.Errorf("encode the overview: %w", err)
	}
	return append(VisibleJSON(text), '\n'), nil
}

// VisibleJSON escapes what must not reach a terminal, in JSON notation, which is valid because such
// characters occur only in strings. It leaves line breaks and tabs alone, so that other text may be
// passed as well.
func VisibleJSON(text []byte) []byte {
	if utf8.Valid(text) && bytes.IndexFunc(text, func(r rune) bool { return hidden(r) && r != '\n' && r != '\t' }) < 0 {
		return text
	}
	out := make([]byte, 0, len(text)+len(text)/8)
	for _, r := range string(text) { // an invalid UTF-8 byte becomes U+FFFD
		if r == '\n' || r == '\t' || !hidden(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) { // JSON escapes are UTF-16
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}

// duration formats a duration with at most two units: 2h3m, 12ms.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s" // clocks differ
	case d < time.Millisecond:
		return "<1ms"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return two(d, time.Minute, "m", time.Second, "s")
	case d < 24*time.Hour:
		return two(d, time.Hour, "h", time.Minute, "m")
	default:
		return two(d, 24*time.Hour, "d", time.Hour, "h")
	}
}

func two(d, large time.Duration, a string, small time.Duration, b string) string {
	text := fmt.Sprint(int64(d/large)) + a
	if rest := d % large / small; rest > 0 {
		text += fmt.Sprint(int64(rest)) + b
	}
	return text
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// size formats a number of bytes.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 || f >= 10 {
		return fmt.Sprintf("%.0f %s", f, units[i])
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + units[i]
}

// kept says what happens to the messages while publishing pauses; empty if it does not pause, or if
// nothing waits.
func (p Outbox) kept() string {
	events := func(n int) string {
		if n == 1 {
			return "1 event is"
		}
		return fmt.Sprintf("%d events are", n)
	}
	switch {
	case p.Spooled > 0:
		return fmt.Sprintf("nothing is lost: %s kept on disk, %s of %s", events(p.Spooled), size(p.Bytes), size(uint64(max(0, p.Max))))
	case p.InFlight > 0 && (!p.NATS || p.Trouble != ""):
		return fmt.Sprintf("nothing is lost as long as this process lives: %s kept in memory", events(p.InFlight))
	default:
		return ""
	}
}

// rate formats a number of events per second.
func rate(r float64) string {
	switch {
	case r == 0:
		return "0"
	case r < 0.01:
		return "<0.01"
	case r < 1:
		return fmt.Sprintf("%.2f", r)
	case r < 100:
		return fmt.Sprintf("%.1f", r)
	default:
		return fmt.Sprintf("%.0f", r)
	}
}

// coarse formats a duration with one unit.
func coarse(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(d, 0)/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
}
