package zoom

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// answer is the answer of the token endpoint, or of whatever answers in its place. oauth2
// hides an answer that is not a token.
type answer struct {
	status int
	header http.Header // as it came
	body   []byte
}

// answerKey is the context key of an *answer to fill in.
type answerKey struct{}

// maxAnswer bounds how many bytes of an answer are read.
const maxAnswer = 1 << 20

// read copies the answer and leaves the body readable.
func (a *answer) read(response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	response.Body.Close() //nolint:errcheck // it was read
	if err != nil {
		return err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	a.status, a.header, a.body = response.StatusCode, response.Header.Clone(), body
	return nil
}

// describe describes an answer that is neither a token nor in one of Zoom's error formats.
func (a *answer) describe(redact redactor) string {
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	text := bytes.TrimSpace(a.body)
	switch {
	case a.status >= 300 && a.status < 400 && a.header.Get("Location") != "":
		return "a redirect to " + redact.text(bareURL(a.header.Get("Location")))
	case len(text) == 0:
		return "an empty body"
	case kind == "text/html" || bytes.HasPrefix(text, []byte("<")):
		return fmt.Sprintf("an HTML page: %q", firstWords(redact.text(pageText(text))))
	case bytes.HasPrefix(text, []byte("{")) && a.status < 300:
		return "JSON without an access_token"
	case bytes.HasPrefix(text, []byte("{")):
		return "JSON that is not an error from Zoom"
	}
	return fmt.Sprintf("%q", firstWords(redact.text(string(text))))
}

var (
	hiddenHTML = regexp.MustCompile(`(?is)<(script|style)\b.*?(?:</(?:script|style)\s*>|$)|<!--.*?(?:-->|$)`)
	htmlTag    = regexp.MustCompile(`(?s)<[^>]*(?:>|$)`)
)

// pageText is the visible text of an HTML page.
func pageText(page []byte) string {
	page = page[:min(len(page), maxRedact)]
	return strings.TrimSpace(string(htmlTag.ReplaceAll(hiddenHTML.ReplaceAll(page, nil), []byte(" "))))
}

// firstWords is the beginning of a text on one line.
func firstWords(text string) string {
	const most = 120 // bytes
	line := strings.Join(strings.Fields(text), " ")
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return line
}

// bareURL is a URL without login and parameters, for people.
func bareURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "***"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
