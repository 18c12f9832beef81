package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zoomstream/zoomstream/internal/eventnames"
)

// maxFilters bounds the consumers that are reported one by one.
const maxFilters = 10

// filters warns of consumers that filter by event names but not for the keys that follow them in
// the subjects.
func (e *exam) filters(ctx context.Context, s *site) {
	name, keys := e.cfg.Stream, e.cfg.SubjectKeys.Count()
	if keys == 0 {
		return
	}
	if !s.may("CONSUMER.LIST." + name) {
		e.skip(StreamFilters, "needs permission for %sCONSUMER.LIST.%s", s.at.api, name)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	stream, err := s.js.Stream(ctx, name)
	if err != nil {
		e.fail(StreamFilters, askFix, "stream %s: %v", name, err)
		return
	}
	looked, missing := 0, 0
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		looked++
		missed := missedFilters(info.Config, e.cfg.Prefix, keys)
		if len(missed) == 0 {
			continue
		}
		if missing++; missing <= maxFilters {
			e.warn(StreamFilters, filterFix(name, info, missed), "consumer %s filters on %s, without the keys that ZOOMSTREAM_SUBJECT_KEY=%s adds after an event's name: it gets none of the events stored with keys",
				info.Name, strings.Join(missed, ", "), e.cfg.SubjectKeys)
		}
	}
	switch err := list.Err(); {
	case err != nil:
		e.fail(StreamFilters, askFix, "consumers of stream %s: %v", name, err)
	case missing > maxFilters:
		e.warn(StreamFilters, "nats consumer report "+name, "so do %s", count(missing-maxFilters, "more consumer"))
	case missing == 0:
		e.pass(StreamFilters, "stream %s has %s, and no filter leaves out the keys in the subjects", name, count(looked, "consumer"))
	}
}

// missedFilters returns a consumer's filters that match events without keys but none with this
// number of keys, unless another of its filters matches those.
func missedFilters(c jetstream.ConsumerConfig, prefix string, keys int) (missed []string) {
	filters := filtersOf(c)
	for _, filter := range filters {
		if missesKeys(filter, prefix, keys) && !slices.Contains(filters, filter+".>") {
			missed = append(missed, filter)
		}
	}
	return missed
}

func filtersOf(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// missesKeys reports whether a filter for events below a prefix has no room for this number of keys
// after the event's name.
func missesKeys(filter, prefix string, keys int) bool {
	tokens := strings.Split(filter, ".")
	for want := range strings.SplitSeq(prefix, ".") {
		if len(tokens) < 2 || tokens[0] != want && tokens[0] != "*" {
			return false
		}
		tokens = tokens[1:]
	}
	if tokens[len(tokens)-1] == ">" || strings.HasPrefix(tokens[0], "_") { // no event's name begins like this
		return false
	}
	name := 2 // tokens in an event's name; a few known names have a single one
	if eventnames.Known(tokens[0]) {
		name = 1
	}
	return len(tokens) < name+keys
}

// filterFix says how a consumer can get events with keys in addition to those without, which may
// already be stored.
func filterFix(stream string, info *jetstream.ConsumerInfo, missed []string) string {
	if info.Config.Durable == "" { // its program recreates it
		return "have its program ask for '" + missed[0] + ".>' as well"
	}
	filters := slices.Clone(filtersOf(info.Config))
	for _, filter := range missed {
		filters = append(filters, filter+".>")
	}
	fix := "nats consumer edit " + stream + " " + quoted(info.Name)
	for _, filter := range filters {
		fix += " --filter=" + quoted(filter)
	}
	return fix
}

// quoted returns a text as a single word for a shell.
func quoted(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
