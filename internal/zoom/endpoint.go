package zoom

import (
	"fmt"
	"net/url"
	"strings"
)

// withToken appends the access token to the endpoint URL that Zoom's page shows.
// It replaces a token that was pasted along, and leaves the rest of the query as it
// is. Zoom accepts the token only in the URL
// (https://developers.zoom.us/docs/api/websockets/).
func withToken(endpoint, token string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", fmt.Errorf("the WebSocket URL cannot be parsed: %s", redactor{token}.error(err))
	}
	var kept []string
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		if part != "" && !strings.HasPrefix(part, "access_token=") {
			kept = append(kept, part)
		}
	}
	u.RawQuery = strings.Join(append(kept, "access_token="+url.QueryEscape(token)), "&")
	return u.String(), nil
}
