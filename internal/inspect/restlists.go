package inspect

import "strings"

// RESTBase is where the paths of Zoom's lists begin.
const RESTBase = "https://api.zoom.us/v2"

// list is one of Zoom's REST lists, from which what happened in a gap can be read
// afterwards. {from} and {to} stand for dates.
type list struct {
	path string
	note string // what of the family it tells, if not all
}

// teamChat serves two families.
var teamChat = []list{
	{"/report/chat/sessions?from={from}&to={to}", "chats and channels that were used"},
	{"/report/chat/sessions/{sessionId}?from={from}&to={to}", "the messages of each of those"},
}

// restLists has the lists for each family of events that offers one by date. A
// family is the first token of the events' names. No list can tell more than what
// Zoom keeps: that somebody muted, shared a screen or waited is gone with the event.
//
// What this rests on; nothing of it was tried at Zoom:
//   - The paths, but for GET /accounts/me/recordings, are in the inventories of
//     Zoom's API Hub (https://developers.zoom.us/api-hub/<product>/methods/endpoints.json
//     of meetings, accounts, phone, contact-center, iq, rooms and video-sdk), as public
//     repositories mirror them, such as https://github.com/zoom/skills in
//     rest-api/references.
//   - The mirrors show no parameters. That a list takes from and to, type and
//     meeting_type, and GET /accounts/me/recordings, come from third-party code and
//     SDKs only.
//
// A family is left out where it is not sure that a list by date exists.
var restLists = map[string][]list{
	"account": {
		{"/report/operationlogs?from={from}&to={to}", "changes by administrators"},
	},
	"chat_message": teamChat,
	"contact_center": {
		{"/contact_center/engagements?from={from}&to={to}", "engagements"},
	},
	"meeting": {
		{"/report/history_meetings?from={from}&to={to}&meeting_type=meeting", "meetings that took place, of the account"},
		{"/metrics/meetings?type=past&from={from}&to={to}", "the same from the Dashboard, if the plan has it"},
		{"/report/users/{userId}/meetings?from={from}&to={to}", "the same of one host"},
		{"/report/meetings/{meetingId}/participants", "who joined and left, of each of those; a uuid with / in it is percent-encoded twice"},
	},
	"phone": {
		{"/phone/call_history?from={from}&to={to}", "calls"},
		{"/phone/recordings?from={from}&to={to}", "recordings"},
		{"/phone/voice_mails?from={from}&to={to}", "voicemails"},
		{"/phone/sms/sessions?from={from}&to={to}", "SMS sessions; their messages: /phone/sms/sessions/{sessionId}"},
	},
	"recording": {
		{"/accounts/me/recordings?from={from}&to={to}", "cloud recordings, of the account"},
		{"/users/{userId}/recordings?from={from}&to={to}", "the same of one host"},
		{"/archive_files?from={from}&to={to}", "archived files"},
	},
	"revenue_accelerator": {
		{"/zra/conversations?from={from}&to={to}", "conversations"},
	},
	"session": {
		{"/videosdk/sessions?type=past&from={from}&to={to}", "sessions of the Video SDK"},
		{"/videosdk/recordings?from={from}&to={to}", "their recordings"},
	},
	"team_chat": teamChat,
	"user": {
		{"/report/activities?from={from}&to={to}", "sign-ins and sign-outs"},
		{"/report/operationlogs?from={from}&to={to}", "changes by administrators"},
	},
	"webinar": {
		{"/report/history_meetings?from={from}&to={to}&meeting_type=webinar", "webinars that took place, of the account"},
		{"/metrics/webinars?type=past&from={from}&to={to}", "the same from the Dashboard, if the plan has it"},
		{"/report/webinars/{webinarId}/participants", "who joined and left, of each of those"},
	},
	"workspace": {
		{"/workspaces/{workspaceId}/reservations?from={from}&to={to}", "reservations, of one workspace"},
	},
}

// Request is a request to Zoom's REST API.
type Request struct {
	Family string `json:"family"`
	Method string `json:"method"`
	URL    string `json:"url"` // {…} stands for what the caller knows
	Lists  string `json:"lists"`
}

// requests are the requests for a family from one date to another one; none if no
// list is known.
func requests(family, from, to string) []Request {
	fill := strings.NewReplacer("{from}", from, "{to}", to)
	var all []Request
	for _, l := range restLists[family] {
		all = append(all, Request{Family: family, Method: "GET", URL: RESTBase + fill.Replace(l.path), Lists: l.note})
	}
	return all
}
