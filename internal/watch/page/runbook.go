package page

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/zoomstream/zoomstream/docs"
)

// serveChapter serves a chapter of the runbook as plain text. It matches this version, and works
// where nothing but this replica can be reached.
func serveChapter(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("chapter")
	text, found := chapter(docs.Runbook, name)
	if !found {
		http.Error(w, fmt.Sprintf("the runbook of this version has no chapter %.40q", name), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, text) //nolint:errcheck // the reader has gone
}

// chapter returns the heading of that name with the text up to the next heading.
func chapter(document, name string) (text string, found bool) {
	heading := "## " + name + "\n"
	_, rest, found := strings.Cut(document, "\n"+heading)
	if !found || strings.Contains(name, "\n") {
		return "", false
	}
	for _, next := range []string{"\n# ", "\n## "} {
		rest, _, _ = strings.Cut(rest, next)
	}
	return heading + rest, true
}
