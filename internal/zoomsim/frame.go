package zoomsim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Texts of control frames. The heartbeat answer and the refusals are published
// captures; the content of a successful build_connection never was.
const (
	frameReady     = `{"module":"build_connection","success":true,"content":"connection built","header":{}}`
	frameHeartbeat = `{"module":"heartbeat","success":true,"content":"live","header":{}}`

	contentInvalidNew = "Token is invalid" // 2025
	contentInvalidOld = "Invalid Token"    // 2023
	contentEmpty      = "token is empty"   // 2022
	contentDisplaced  = "Connected in another place"
)

// refusalFrame is Zoom's build_connection with success:false.
func refusalFrame(content string) []byte {
	b := append([]byte(nil), `{"module":"build_connection","success":false,"content":`...)
	b = appendQuoted(b, content)
	return append(b, `,"header":{}}`...)
}

// header is what a message frame carries beside its content. Empty fields are
// left out.
type header struct {
	authorization, clientID            string
	trackingID, requestID, traceparent string
	signature                          string
	timestamp                          string // epoch seconds, a string on the wire
}

// appendFrame appends a message frame. By hand, since a simulator that is the
// source of a benchmark must cost little: no reflection, one allocation.
func appendFrame(b, body []byte, asObject bool, h header) []byte {
	b = append(b, `{"module":"message","content":`...)
	if asObject {
		b = append(b, body...)
	} else {
		b = appendQuoted(b, body)
	}
	b = append(b, `,"header":{"Authorization":`...)
	b = appendQuoted(b, h.authorization)
	b = append(b, `,"clientId":`...)
	b = appendQuoted(b, h.clientID)
	for _, f := range [...]struct{ name, value string }{
		{`,"x-zm-trackingid":`, h.trackingID},
		{`,"x-zm-request-id":`, h.requestID},
		{`,"traceparent":`, h.traceparent},
		{`,"x-zm-signature":`, h.signature},
		{`,"x-zm-request-timestamp":`, h.timestamp},
	} {
		if f.value != "" {
			b = append(b, f.name...)
			b = appendQuoted(b, f.value)
		}
	}
	return append(b, `}}`...)
}

// appendQuoted appends s as a JSON string. It escapes what JSON demands and
// nothing else: Zoom sends non-ASCII as it is. Bytes that are not UTF-8 pass
// through as well.
func appendQuoted[T string | []byte](b []byte, s T) []byte {
	const hexDigits = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// sign is Zoom's signature of a webhook and of a frame's content.
func sign(secret, timestamp string, content []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + timestamp + ":"))
	mac.Write(content)
	return "v0=" + hex.EncodeToString(mac.Sum(nil))
}

func epochSeconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// newTrackingID makes a tracking id in one of the two shapes seen on the wire;
// the second was seen on participant events.
func newTrackingID(event string) string {
	if strings.Contains(event, "participant_") {
		h := appendHex(nil, "0123456789ABCDEF")
		return "EventService_" + string(h[:8]) + "-" + string(h[8:12]) + "-4" + string(h[13:16]) +
			"-A" + string(h[17:20]) + "-" + string(h[20:]) + "_3"
	}
	return string(appendHex([]byte("v=2.0;clid=us02;rid=WEB_"), "0123456789abcdef"))
}

// appendHex appends 32 random hexadecimal digits.
func appendHex(b []byte, digits string) []byte {
	for range 2 {
		r := rand.Uint64()
		for range 16 {
			b = append(b, digits[r&15])
			r >>= 4
		}
	}
	return b
}
