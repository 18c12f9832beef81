package doctor

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestWebhook: doctor says whether the URL is plausible, and posts nothing.
func TestWebhook(t *testing.T) {
	w := newWorld(t)
	w.stream()
	var asked atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer web.Close()

	r := w.run("ZOOMSTREAM_ALARM_WEBHOOK_URL=" + web.URL + "/services/must-not-leak?key=must-not-leak")
	r.has(AlarmWebhook, Pass, "alarms are posted to "+web.URL+";")
	r = w.run("ZOOMSTREAM_ALARM_WEBHOOK_URL=" + web.URL + "/")
	r.has(AlarmWebhook, Warn, web.URL, "no path", "copy the whole URL")
	if n := asked.Load(); n > 0 {
		t.Errorf("%d requests came to the webhook", n)
	}
	r = w.run()
	if strings.Contains(r.text(), string(AlarmWebhook)) {
		t.Errorf("without a webhook:\n%s", r.text())
	}
	r = w.run("ZOOMSTREAM_ALARM_WEBHOOK_URL=http://hooks.example/must-not-leak")
	r.has(Configuration, Fail, "ZOOMSTREAM_ALARM_WEBHOOK_URL", "unencrypted http://", "looks like https://hooks.slack.com/")
	r.failed(true)
}
