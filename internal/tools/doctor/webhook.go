package doctor

import (
	"net/url"
	"strings"

	"github.com/zoomstream/zoomstream/internal/webhook"
)

// webhook reports where alarms are posted. It posts nothing, since people would read it.
func (e *exam) webhook() {
	if e.cfg.AlarmWebhookURL == "" {
		return
	}
	to, err := url.Parse(e.cfg.AlarmWebhookURL)
	switch {
	case err != nil: // cannot happen: the settings were checked; the error contains the URL
		e.reject(AlarmWebhook, "copy it again to ZOOMSTREAM_ALARM_WEBHOOK_URL", "the URL of the alarms' webhook cannot be read")
	case strings.Trim(to.Path, "/") == "" && to.RawQuery == "":
		e.warn(AlarmWebhook, "copy the whole URL to ZOOMSTREAM_ALARM_WEBHOOK_URL", "alarms are posted to %s, and the URL has no path; those of Slack and the like have one", webhook.Host(to))
	default:
		e.pass(AlarmWebhook, "alarms are posted to %s; nothing was posted now", webhook.Host(to))
	}
}
