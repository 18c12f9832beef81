package subjects_test

import (
	"fmt"

	"github.com/zoomstream/zoomstream/subjects"
)

func Example() {
	subject := subjects.Subject("zoom", "meeting.started")
	fmt.Println(subject)
	event, ok := subjects.Event("zoom", subject)
	fmt.Println(event, ok)
	fmt.Println(subjects.Subject("zoom", "contact_center.user_skills_assigned."))
	fmt.Println(subjects.Control("zoom", subjects.Gap))
	// Output:
	// zoom.meeting.started
	// meeting.started true
	// zoom.contact_center.user_skills_assigned%2E
	// zoom._bridge.gap
}

func ExampleKeys() {
	keys, _ := subjects.ParseKeys("account.object") // ZOOMSTREAM_SUBJECT_KEY
	subject := keys.Append(subjects.Subject("zoom", "session.started"), "", "dkYcaonKUIC26Nsfc7o9fw==")
	fmt.Println(subject)
	event, ok := keys.Event("zoom", subject)
	fmt.Println(event, ok)
	fmt.Println(subjects.Value("dkYcaonKUIC26Nsfc7o9fw%3D%3D"))
	// Output:
	// zoom.session.started._.dkYcaonKUIC26Nsfc7o9fw%3D%3D
	// session.started true
	// dkYcaonKUIC26Nsfc7o9fw== true
}
