package dedupe_test

import (
	"fmt"
	"time"

	"github.com/zoomstream/zoomstream/dedupe"
)

func ExampleID() {
	body := []byte(`{"event":"meeting.started"}`)
	fmt.Println(dedupe.ID(dedupe.Tracking, "EventService_0A5F_3", "zoom.meeting.started", body))
	fmt.Println(dedupe.ID(dedupe.Tracking, "", "zoom.meeting.started", body))
	// Output:
	// EventService_0A5F_3:3823edcdce820194
	// sha256:3823edcdce820194972cbb7267bbcd98
}

func ExampleWindow() {
	window := dedupe.NewWindow(1024, time.Minute)
	now := time.Now()
	fmt.Println(window.Seen("id", now), window.Seen("id", now))
	// Output:
	// false true
}
