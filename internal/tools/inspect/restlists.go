package inspect

import "time"

// Label is one of Zoom's rate limit labels.
type Label string

// The labels.
const (
	Medium            Label = "MEDIUM"
	Heavy             Label = "HEAVY"
	ResourceIntensive Label = "RESOURCE-INTENSIVE"
)

// list is one of Zoom's REST lists, from which events missed in a gap can be recovered.
type list struct {
	// path may contain {from} and {to} for dates, UTC, both included, or {fromTime} and {toTime}
	// for times to the second.
	path  string
	note  string // which part of the family it covers, if not all
	scope string // granular scope; empty: unknown
	label Label

	days    int  // maximum days per request; 0: a month
	byStart bool // filters by start time, so what ended in a gap may have started before
}

func (l list) longest() int {
	if l.days > 0 {
		return l.days
	}
	return month
}

// before returns how much earlier than the gap a request must start.
func (l list) before() time.Duration {
	if l.byStart {
		return day
	}
	return 0
}

// teamChat is used by two families.
var teamChat = []list{
	{path: "/report/chat/sessions?from={from}&to={to}", note: "chats and channels that were used; at most six months back",
		scope: "report:read:list_chat_sessions:admin", label: Medium},
	{path: "/report/chat/sessions/{sessionId}?from={from}&to={to}", note: "the messages of each of those", label: Medium},
	{path: "/chat/users/{userId}/messages", note: "messages of one user with one contact or in one channel", label: Medium},
	{path: channelActivities, note: "what happened in channels", label: Medium, days: 3},
}

const channelActivities = "/chat/activities/channels?from={fromTime}&to={toTime}"

// Lists of administration: operation logs and sign-ins.
var (
	operations = list{path: "/report/operationlogs?from={from}&to={to}", note: "changes by administrators; from and to may have hours and minutes",
		scope: "report:read:operation_logs:admin", label: Heavy}
	signIns = list{path: "/report/activities?from={from}&to={to}", note: "sign-ins and sign-outs; at most six months back",
		scope: "report:read:user_activities:admin", label: Heavy}
)

const (
	scopeHistory = "report:read:list_history_meetings:admin"
	scopeMetrics = "dashboard:read:list_meetings:admin"
)

// restLists has the lists for each family of events. A family is the first token of the events'
// names. Each family that Zoom is known to have is included; nil: it has no list. No list covers
// more than what Zoom stores: that somebody muted, shared a screen or waited is lost with the
// event.
//
// It is based on Zoom's API reference of 2026 and on public code that uses the API; none of it has
// been tried with Zoom. A missing scope or label is unknown. Whoever reads a list without a time
// range has to filter it.
//
// Pitfalls:
//
//   - history_meetings filters by the start by default: what ended in a gap is requested by its
//     end.
//   - The reports by host and past meetings of the Dashboard omit meetings with a single person:
//     type=pastOne has them.
//   - archive_files filters by the meeting's start by default; archives are complete long after.
//   - The contact center interprets a time in the zone of its parameter, whatever letter follows
//     the time.
var restLists = map[string][]list{
	"account": {operations},
	"calendar": {
		{path: "/calendars/{calendarId}/events", note: "events of one calendar; with the syncToken of the last reading, what has changed since"},
	},
	"chat_channel": {
		{path: channelActivities, note: "what happened in channels", label: Medium, days: 3},
	},
	"chat_message": teamChat,
	"contact_center": {
		{path: "/contact_center/engagements?from={fromTime}&to={toTime}&timezone=%2B00:00", note: "engagements; up to a minute late",
			scope: "contact_center:read:list_engagements:admin", byStart: true},
		{path: "/contact_center/engagements/{engagementId}/events", note: "the events of each of those"},
	},
	"meeting": {
		{path: "/report/meeting_activities?from={from}&to={to}&activity_type=All%20Activities",
			note:  "created, started, joined, left, chat, ended, one by one; Zoom's support must enable it; meeting numbers and no uuids",
			scope: "report:read:meeting_activity_log:admin", label: Heavy},
		{path: "/report/history_meetings?from={from}&to={to}&date_type=start_time&meeting_type=meeting", note: "meetings that began, and are over",
			scope: scopeHistory},
		{path: "/report/history_meetings?from={from}&to={to}&date_type=end_time&meeting_type=meeting", note: "meetings that ended",
			scope: scopeHistory},
		{path: "/metrics/meetings?type=past&from={fromTime}&to={toTime}", note: "the same from the Dashboard (Business or more); at most six months back",
			scope: scopeMetrics, label: ResourceIntensive, byStart: true},
		{path: "/metrics/meetings?type=pastOne&from={fromTime}&to={toTime}", note: "those in which one person was alone",
			scope: scopeMetrics, label: ResourceIntensive, byStart: true},
		{path: "/metrics/meetings?type=live", note: "those still in progress", scope: scopeMetrics, label: ResourceIntensive},
		{path: "/report/users/{userId}/meetings?type=past&from={from}&to={to}", note: "of one host, meetings of two or more",
			scope: "report:read:user:admin", label: Heavy, byStart: true},
		{path: "/past_meetings/{meetingId}/instances", note: "the occurrences of one meeting; at most 15 months back",
			scope: "meeting:read:list_past_instances:admin"},
		{path: "/report/meetings/{meetingId}/participants", note: "who joined and left, of each of those; a uuid with / in it is percent-encoded twice",
			scope: "report:read:list_meeting_participants:admin"},
		{path: "/meetings/meeting_summaries?from={fromTime}&to={toTime}&time_filter_field=summary_created_time", note: "summaries",
			scope: "meeting:read:list_summaries:admin"},
	},
	"phone": {
		{path: "/phone/call_history?from={fromTime}&to={toTime}", note: "calls; at most six months back, as all of phone",
			scope: "phone:read:list_call_logs:admin", byStart: true},
		{path: "/phone/call_element/{callElementId}", note: "the parts of each of those"},
		{path: "/phone/recordings?from={fromTime}&to={toTime}", note: "recordings", scope: "phone:read:list_call_recordings:admin", byStart: true},
		{path: "/phone/voice_mails?from={fromTime}&to={toTime}", note: "voicemails", scope: "phone:read:list_voicemails:admin"},
		{path: "/phone/sms/sessions?from={fromTime}&to={toTime}", note: "SMS sessions, see filter_type; their messages: /phone/sms/sessions/{sessionId}",
			scope: "phone:read:list_sms_sessions:admin"},
	},
	"recording": {
		{path: "/accounts/me/recordings?from={from}&to={to}", note: "cloud recordings, of the account; the download's access token has a scope of its own", byStart: true},
		{path: "/users/{userId}/recordings?from={from}&to={to}", note: "the same of one host", scope: "cloud_recording:read:list_user_recordings:admin", byStart: true},
		{path: "/archive_files?from={fromTime}&to={toTime}&query_date_type=archive_complete_time", note: "archived files, by when they were complete",
			scope: "archiving:read:list_archived_files:admin", label: Medium, days: 7},
	},
	"revenue_accelerator": {
		{path: "/zra/conversations?from={fromTime}&to={toTime}&period_type=iqProcessedTime", note: "conversations, by when they were processed"},
	},
	"scheduler": {
		{path: "/scheduler/events", note: "scheduled events"},
	},
	"session": {
		{path: "/videosdk/sessions?type=past&from={from}&to={to}", note: "sessions of the Video SDK", label: ResourceIntensive, byStart: true},
		{path: "/videosdk/recordings?from={from}&to={to}", note: "their recordings", label: ResourceIntensive, byStart: true},
	},
	"team_chat": teamChat,
	"user": {
		signIns,
		operations,
		{path: "/users", note: "all users by status, without times", scope: "user:read:list_users:admin"},
	},
	"visitor_management": {
		{path: "/visitor/invitation", note: "invitations"},
	},
	"webinar": {
		{path: "/report/history_meetings?from={from}&to={to}&date_type=start_time&meeting_type=webinar", note: "webinars that began, and are over",
			scope: scopeHistory},
		{path: "/report/history_meetings?from={from}&to={to}&date_type=end_time&meeting_type=webinar", note: "webinars that ended",
			scope: scopeHistory},
		{path: "/metrics/webinars?type=past&from={from}&to={to}", note: "the same from the Dashboard (Business or more)",
			scope: "dashboard:read:list_webinars:admin", byStart: true},
		{path: "/report/webinars/{webinarId}/participants", note: "who joined and left, of each of those"},
	},
	"whiteboard": {
		{path: "/whiteboards", note: "whiteboards; from and to go by date_filter_type", scope: "whiteboard:read:list_whiteboards:admin"},
		{path: "/whiteboards/sessions", note: "their sessions"},
	},
	"workspace": {
		{path: "/workspaces/{workspaceId}/reservations?from={from}&to={to}", note: "reservations, of one workspace"},
	},

	// No list is known. An RTMS stream must be joined within a minute, so later it is of no use.
	"app": nil, "app_deauthorized": nil, "bot_installed": nil, "bot_notification": nil, "clinical_notes": nil, "cobrowse": nil,
	"endpoint": nil, "group": nil, "information_barriers": nil, "interactive_message_actions": nil, "interactive_message_editable": nil,
	"interactive_message_fields_editable": nil, "interactive_message_select": nil, "mail": nil, "my_notes": nil, "node": nil,
	"number_management": nil, "quality_management": nil, "rtms": nil, "task": nil, "video_management": nil, "zoom_events": nil,
	"zoomroom": nil,
}
