package zoomsim

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Texts of control frames. The answer to a heartbeat and the refusals are published captures; the
// content of a successful build_connection was never published.
const (
	frameReady     = `{"module":"build_connection","success":true,"content":"connection built","header":{}}`
	frameHeartbeat = `{"module":"heartbeat","success":true,"content":"live","header":{}}`

	contentInvalidNew = "Token is invalid" // 2025
	contentInvalidOld = "Invalid Token"    // 2023
	contentEmpty      = "token is empty"   // 2022
	contentDisplaced  = "Connected in another place"
)

// refusalFrame returns Zoom's build_connection with success:false.
func refusalFrame(content string) []byte {
	return []byte(`{"module":"build_connection","success":false,"content":"` + content + `","header":{}}`)
}

// appendFrame appends an event as a message frame. It is hand-written, without reflection and with
// one allocation, because the simulator must be cheap as the source of a benchmark.
func appendFrame(b []byte, e *Event, opt *Options, now time.Time) []byte {
	b = append(b, `{"module":"message","content":`...)
	if e.AsObject {
		b = append(b, e.Body...)
	} else {
		b = appendQuoted(b, e.Body)
	}
	timestamp := strconv.FormatInt(now.Unix(), 10)
	b = append(b, `,"header":{"Authorization":"`+DefaultVerificationToken+`"`...)
	for _, f := range [...]struct{ name, value string }{
		{`,"clientId":`, cmp.Or(opt.ClientID, DefaultClientID)},
		{`,"x-zm-trackingid":`, e.TrackingID},
		{`,"x-zm-request-id":`, e.RequestID},
		{`,"traceparent":`, e.Traceparent},
		{`,"x-zm-signature":`, sign(opt.SecretToken, timestamp, e.Body)},
		{`,"x-zm-request-timestamp":`, timestamp},
	} {
		if f.value != "" {
			b = append(b, f.name...)
			b = appendQuoted(b, f.value)
		}
	}
	return append(b, `}}`...)
}

// appendQuoted appends s as a JSON string. It escapes only what JSON requires, since Zoom sends
// non-ASCII characters unescaped. Bytes that are not UTF-8 pass through.
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

// sign computes Zoom's signature of a webhook and of a frame's content; empty without a secret.
func sign(secret, timestamp string, content []byte) string {
	if secret == "" {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + timestamp + ":"))
	mac.Write(content)
	return "v0=" + hex.EncodeToString(mac.Sum(nil))
}

// newTrackingID returns a tracking id in one of the two shapes seen on the wire; the second was
// seen on participant events.
func newTrackingID(event string) string {
	random := fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
	if !strings.Contains(event, "participant_") {
		return "v=2.0;clid=us02;rid=WEB_" + random
	}
	h := strings.ToUpper(random)
	return "EventService_" + h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-A" + h[17:20] + "-" + h[20:] + "_3"
}
