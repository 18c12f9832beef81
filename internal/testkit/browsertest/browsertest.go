// Package browsertest runs a real browser for tests of the status page.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Chromium is a browser that starts with its first tab and runs until Close, since starting it
// takes longer than most tests of a page.
type Chromium struct {
	mu      sync.Mutex
	running context.Context // chromedp context; nil: not running
	err     error           // why it does not start
}

// Close ends the browser, after all its tabs.
func (c *Chromium) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != nil {
		chromedp.Cancel(c.running) //nolint:errcheck // nobody needs it any more
	}
}

func (c *Chromium) start(path string) (context.Context, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != nil || c.err != nil {
		return c.running, c.err
	}
	allocator, _ := chromedp.NewExecAllocator(context.Background(), // Cancel ends it
		chromedp.ExecPath(path), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		// Tabs in the background must run like those in front.
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("disable-renderer-backgrounding", true),
	)
	running, cancel := chromedp.NewContext(allocator)
	if c.err = chromedp.Do(running); c.err != nil {
		cancel()
		return nil, c.err
	}
	c.running = running
	return running, nil
}

// Browser is a tab of a real Chromium with separate storage. It records errors.
type Browser struct {
	t       testing.TB
	Context context.Context // chromedp context

	mu     sync.Mutex
	wrongs []string
}

// Open opens a tab with a window of the given size, which closes with the test. Without Chromium
// the test is skipped, or fails if ZOOMSTREAM_NEED_CHROMIUM is set.
func (c *Chromium) Open(t testing.TB, width, height int64, dark bool) *Browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("ZOOMSTREAM_NEED_CHROMIUM") != "" {
			t.Fatal("there is no Chromium")
		}
		t.Skip("there is no Chromium")
	}
	running, err := c.start(path)
	if err != nil {
		t.Fatal(err)
	}
	tab, _ := chromedp.NewContext(running, chromedp.WithNewBrowserContext())
	t.Cleanup(func() {
		if err := chromedp.Cancel(tab); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(tab, 60*time.Second)
	t.Cleanup(cancel)
	b := &Browser{t: t, Context: ctx}
	// The listener uses the context that the tab was opened with, not the one with the timeout.
	err = chromedp.Listen(tab, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			text := e.ExceptionDetails.Text
			if e.ExceptionDetails.Exception != nil {
				text += " " + e.ExceptionDetails.Exception.Description
			}
			b.wrong("exception: " + text)
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
				b.wrong(fmt.Sprintf("console %s: %s", e.Type, e.Args[0].Value))
			}
		case *log.EventEntryAdded:
			b.wrong(fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.Run(
		call(log.Enable, cdp.Empty{}),
		call(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}), // otherwise only one tab has the focus
		chromedp.EmulateViewport(width, height),
		Colours(scheme),
	)
	return b
}

// Colours emulates a preferred colour scheme: light or dark.
func Colours(scheme string) chromedp.Action[chromedp.Void] {
	return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

func call[P any](command cdp.Command[P, cdp.Empty], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, command, params)
		return err
	})
}

// Wrongs returns what has gone wrong in the tab: errors, warnings, and what the browser has
// refused.
func (b *Browser) Wrongs() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.wrongs...)
}

func (b *Browser) wrong(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrongs = append(b.wrongs, text)
}

// Clean fails the test if anything went wrong in the tab.
func (b *Browser) Clean() {
	b.t.Helper()
	for _, w := range b.Wrongs() {
		b.t.Error("in the browser:", w)
	}
}

// Run runs actions in the tab.
func (b *Browser) Run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.Context, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// See loads a page and waits for its first data.
func (b *Browser) See(url string) {
	b.t.Helper()
	b.Run(chromedp.Navigate(url))
	b.Until(`document.querySelector("#replicas tbody tr") !== null`)
}

// Eval returns the value of a JavaScript expression.
func Eval[T any](b *Browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.Context, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// Until waits until an expression is true, for at most 20 s.
func (b *Browser) Until(expression string) {
	b.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if Eval[bool](b, expression) {
			return
		}
	}
	b.t.Fatalf("%s is not true; the page says:\n%s", expression, b.Text("main"))
}

// Text returns the visible text of an element.
func (b *Browser) Text(selector string) string {
	b.t.Helper()
	return Eval[string](b, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// Says waits until an element contains a text.
func (b *Browser) Says(selector, text string) {
	b.t.Helper()
	b.Until(fmt.Sprintf("(document.querySelector(%q)?.textContent ?? '').includes(%s)", selector, Quote(text)))
}

// Quote returns a JavaScript string literal.
func Quote(text string) string { return strings.ReplaceAll(fmt.Sprintf("%+q", text), `\U000`, `\u`) }
