package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"net/http"
	"path"
	"time"
)

//go:embed assets
var assets embed.FS

// csp lets the page load its own files and nothing else, so that text from the stream stays text
// whatever it contains. uPlot sets styles from a script, which this permits.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// routes serves the page at /, its files below /assets/, its messages at /events, and chapters of
// the runbook. Whole events are at /event/ and /search: they hold personal data, so the caller
// decides who may ask for them.
func (p *Page) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { serveAsset(w, r, "index.html") })
	mux.HandleFunc("GET /assets/{file}", func(w http.ResponseWriter, r *http.Request) { serveAsset(w, r, r.PathValue("file")) })
	mux.HandleFunc("GET /events", p.serveEvents)
	mux.HandleFunc("GET /runbook/{chapter}", serveChapter)
	mux.HandleFunc("GET /event/{seq}", p.serveStored)
	mux.HandleFunc("GET /search", p.serveSearch)
	return mux
}

// ServeHTTP answers GET and HEAD.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	p.mux.ServeHTTP(w, r)
}

func serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	content, err := assets.ReadFile(path.Join("assets", path.Base(name)))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	// The files belong to one version: a browser may cache them, but has to revalidate.
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(content)))
	if path.Ext(name) == ".LICENSE" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}
