//go:build !race

package page_test

import (
	"os"
	"testing"

	"github.com/zoomstream/zoomstream/internal/testkit/browsertest"
)

// chromium opens a tab for each test of the page.
var chromium browsertest.Chromium

func TestMain(m *testing.M) {
	code := m.Run()
	chromium.Close()
	os.Exit(code)
}
