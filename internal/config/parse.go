package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zoomstream/zoomstream/internal/secretfile"
	"github.com/zoomstream/zoomstream/subjects"
)

// checked stores a text and returns the result of its check.
func checked(to *string, check func(text string) error) func(string) error {
	return func(text string) error {
		*to = text
		return check(text)
	}
}

var (
	// Rejects quotes, because Docker's --env-file keeps them.
	credential = matching(`[!#-&(-~]+`, "it holds a quote, white space or another character that Zoom's values never have; "+
		"copy it again from Zoom's page, without quotes")
	oneLine  = matching(`[^\x00-\x1f\x7f]+`, "it holds a line break or another control character; give it on one line")
	natsName = matching(`[A-Za-z0-9_-]{1,200}`, "it cannot be a name in NATS; use at most 200 of A-Z a-z 0-9 _ -")
)

func matching(pattern, problem string) func(string) error {
	whole := regexp.MustCompile("^" + pattern + "$")
	return func(text string) error {
		if !whole.MatchString(text) {
			return errors.New(problem)
		}
		return nil
	}
}

// readable reads the file at once. nats.go would read it at each attempt to connect, so that a
// wrong path would look like a server that is down; and nats.go sets no limit on its size.
func readable(path string) error {
	if _, err := secretfile.Read(path, secretfile.MaxText); err != nil {
		return unreadable(path, err)
	}
	return nil
}

func listenAddress(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return errors.New("not a host and a port; use for example 127.0.0.1:4222")
	}
	return nil
}

func address(text string) error {
	if listenAddress(text) != nil && !strings.EqualFold(text, "off") {
		return errors.New("not a host and a port; use for example 127.0.0.1:8480, :8480 for all interfaces, or off")
	}
	return nil
}

func oneOf(to *string, words ...string) func(string) error {
	return func(text string) error {
		*to = strings.ToLower(text)
		if !slices.Contains(words, *to) {
			return errors.New("no such choice; use " + strings.Join(words, ", "))
		}
		return nil
	}
}

func subjectKeys(to *subjects.Keys) func(string) error {
	return func(text string) (err error) {
		var name string
		if err := oneOf(&name, "off", "object", "account", "account.object")(text); err != nil {
			return err
		}
		*to, err = subjects.ParseKeys(name)
		return err
	}
}

func onOff(to *bool) func(string) error {
	return func(text string) error {
		var word string
		err := oneOf(&word, "on", "off")(text)
		*to = word == "on"
		return err
	}
}

func number(to *int, least, most int) func(string) error {
	return func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return fmt.Errorf("not a number from %d to %d", least, most)
		}
		*to = n
		return nil
	}
}

// duration parses a duration within inclusive bounds; with most 0 there is no upper one.
func duration(to *time.Duration, least, most time.Duration) func(string) error {
	return func(text string) error {
		d, err := parseDuration(text)
		switch {
		case most == 0 && (err != nil || d < least):
			return fmt.Errorf("not a duration of %s or more; use for example 15s, 30m or 7d", short(least))
		case most > 0 && (err != nil || d < least || d > most):
			return fmt.Errorf("not a duration from %s to %s; use for example 15s", short(least), short(most))
		}
		*to = d
		return nil
	}
}

// short formats a duration as people write it: 5m, not 5m0s.
func short(d time.Duration) string {
	if d%time.Minute == 0 && d > 0 {
		return strings.TrimSuffix(d.String(), "0s")
	}
	return d.String()
}

// threshold parses a positive duration, off, or one of the given words.
func threshold(to *time.Duration, words map[string]time.Duration) func(string) error {
	return func(text string) error {
		word := strings.ToLower(text)
		if word == "off" {
			*to = 0
			return nil
		}
		if d, ok := words[word]; ok {
			*to = d
			return nil
		}
		d, err := parseDuration(text)
		if err != nil || d <= 0 {
			choices := append(slices.Sorted(maps.Keys(words)), "off")
			return fmt.Errorf("not a duration above 0; use for example 5m or 2h, or %s", strings.Join(choices, " or "))
		}
		*to = d
		return nil
	}
}

// parseDuration accepts Go's syntax, and whole days such as 7d.
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16) // 16 bits, as a Duration has no room for many more days
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

func size(to *int64, least int64) func(string) error {
	return func(text string) error {
		digits := strings.TrimRight(text, "KMGTiB")
		unit, ok := units[text[len(digits):]]
		n, err := strconv.ParseInt(digits, 10, 64)
		if !ok || err != nil || n < 0 || n > math.MaxInt64/unit || n*unit < least {
			return fmt.Errorf("not a size of %d MiB or more; use for example 1GiB, 500MB or a number of bytes", least>>20)
		}
		*to = n * unit
		return nil
	}
}

// leastSize is the minimum of what holds events, in bytes: room for two events of the largest size.
const leastSize = 16 << 20

// orNone parses a size, or 0 for unlimited.
func orNone(to *int64, size func(string) error) func(string) error {
	return func(text string) error {
		if text == "0" {
			*to = 0
			return nil
		}
		if err := size(text); err != nil {
			return fmt.Errorf("%w, or 0 for no bound", err)
		}
		return nil
	}
}

// A bare G is missing on purpose: other tools disagree about its meaning.
var units = map[string]int64{
	"": 1, "B": 1,
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}
