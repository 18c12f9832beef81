// Package docs has those documents that the program itself serves.
package docs

import _ "embed"

// Runbook is the runbook, in Markdown.
//
//go:embed runbook.md
var Runbook string
