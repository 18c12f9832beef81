package status

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/zoomstream/zoomstream/internal/colour"
)

// Look is the layout of a table.
type Look struct {
	// Width is the window's width in columns, treated as at least 20; 0: the output is no window.
	// For a window, what does not fit is wrapped, cut or left out, and marks are explained.
	Width int
	Paint colour.Paint
}

// column describes one column of a grid.
type column struct {
	head  string
	least int  // minimum width that its cells may be cut to; 0: they are not cut
	goes  int  // order, from 1, in which columns are dropped for lack of room; 0: never
	ends  bool // cut cells at the end, not in the middle as names are
	text  bool // last column, whose cells are sentences: they are wrapped

	paint func(p colour.Paint, cell string) string // nil: no colour
}

const (
	narrowest = 20 // minimum width of a window, in columns
	between   = 2  // spaces between two columns
	cutNames  = 12 // minimum columns for a name
	textWidth = 30 // minimum columns for a sentence beside its row; with less, it goes below
	indent    = 4  // of sentences below a row
)

// grid prints an empty line and then aligned rows, with Visible cells. The last cell of a row that
// is shorter than columns may extend over the missing ones.
func (t *table) grid(columns []column, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	for _, row := range rows {
		for i, cell := range row {
			row[i] = Visible(cmp.Or(cell, "-"))
		}
	}
	kept, widths := t.fit(columns, rows)
	text := -1 // index of the column to wrap; -1: none
	if last := len(columns) - 1; columns[last].text {
		room := t.look.Width - total(kept, widths) - between
		if t.look.Width > 0 && widths[last] > room {
			text, widths[last] = last, room
		}
		if text < 0 || room >= textWidth { // otherwise the sentences go below their rows
			kept = append(kept, last)
		}
	}
	t.b.WriteByte('\n')
	header := make([]string, len(columns))
	for i, c := range columns {
		header[i] = c.head
	}
	t.row(columns, kept, widths, header, -1, true)
	for _, row := range rows {
		t.row(columns, kept, widths, row, text, false)
	}
}

// fit returns the columns that fit, sentences aside, and their widths.
func (t *table) fit(columns []column, rows [][]string) (kept, widths []int) {
	widths, least, blank := make([]int, len(columns)), make([]int, len(columns)), make([]bool, len(columns))
	for i, c := range columns {
		if !c.text {
			kept = append(kept, i)
		}
		head := utf8.RuneCountInString(c.head)
		widths[i], blank[i] = head, true
		for _, row := range rows {
			if i < len(row)-1 || i == len(row)-1 && i == len(columns)-1 {
				widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
				blank[i] = blank[i] && row[i] == "-"
			}
		}
		least[i] = widths[i]
		if c.least > 0 {
			least[i] = min(widths[i], max(c.least, head))
		}
	}
	if t.look.Width <= 0 {
		return kept, widths
	}
	for total(kept, least) > t.look.Width {
		first := -1 // index in kept of the column to drop first
		for n, i := range kept {
			if columns[i].goes > 0 && (first < 0 || before(columns, blank, i, kept[first])) {
				first = n
			}
		}
		if first < 0 {
			break
		}
		if left := kept[first]; !blank[left] && !slices.Contains(t.left, columns[left].head) {
			t.left = append(t.left, columns[left].head)
		}
		kept = slices.Delete(kept, first, first+1)
	}
	for total(kept, widths) > t.look.Width {
		widest := -1
		for _, i := range kept {
			if widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return kept, widths
}

// before reports whether column a is dropped before column b: blank columns go first.
func before(columns []column, blank []bool, a, b int) bool {
	if blank[a] != blank[b] {
		return blank[a]
	}
	return columns[a].goes < columns[b].goes
}

func total(kept, widths []int) int {
	sum := between * (len(kept) - 1)
	for _, i := range kept {
		sum += widths[i]
	}
	return sum
}

// row prints one row, wrapping the sentence in column text; -1: there is none.
func (t *table) row(columns []column, kept, widths []int, row []string, text int, header bool) {
	var b strings.Builder
	used, gap := 0, 0
	var rest []string
	for _, i := range kept {
		if i >= len(row) {
			break
		}
		cell := row[i]
		room := widths[i]
		if i == len(row)-1 && i < len(columns)-1 { // extends over the missing columns
			room = max(room, utf8.RuneCountInString(cell))
			if t.look.Width > 0 {
				room = min(room, max(1, t.look.Width-used-gap))
			}
		}
		if i == text {
			rest = wrap(cell, room)
			cell, rest = rest[0], rest[1:]
		}
		cell = t.cut(cell, room, columns[i].ends)
		b.WriteString(strings.Repeat(" ", gap))
		used += gap
		length := utf8.RuneCountInString(cell)
		if t.look.Width > 0 && used+length > t.look.Width { // not even the names fit
			break
		}
		switch {
		case header:
			b.WriteString(t.look.Paint.Strong(cell))
		case columns[i].paint != nil:
			b.WriteString(columns[i].paint(t.look.Paint, cell))
		default:
			b.WriteString(cell)
		}
		t.dashes = t.dashes || cell == "-"
		used += length
		gap = room - length + between
	}
	t.printf("%s\n", strings.TrimRight(b.String(), " "))
	at := indent
	if text >= 0 && !slices.Contains(kept, text) {
		if row[text] != "-" {
			rest = wrap(row[text], t.look.Width-indent)
		}
	} else if text >= 0 {
		at = t.look.Width - widths[text]
	}
	for _, line := range rest {
		t.printf("%s%s\n", strings.Repeat(" ", at), line)
	}
}

// cut shortens a text to a number of columns. By default it cuts the middle, since names often
// differ at the end.
func (t *table) cut(text string, width int, atEnd bool) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	t.cuts = true
	if width < 2 {
		return "…"
	}
	tail := (width - 1) / 2
	if atEnd {
		tail = 0
	}
	return string(runes[:width-1-tail]) + "…" + string(runes[len(runes)-tail:])
}

// paragraph prints a text, wrapped with a hanging indent.
func (t *table) paragraph(text string, paint func(string) string) {
	lines := []string{text}
	if t.look.Width > 0 {
		lines = hanging(text, t.look.Width)
	}
	for _, line := range lines {
		t.printf("%s\n", paint(line))
	}
}

func hanging(text string, width int) []string {
	lines := wrap(text, width)
	if len(lines) == 1 {
		return lines
	}
	first := lines[0]
	rest := wrap(strings.TrimSpace(strings.TrimPrefix(text, first)), width-between)
	for i := range rest {
		rest[i] = strings.Repeat(" ", between) + rest[i]
	}
	return append([]string{first}, rest...)
}

// wrap breaks a text into lines of at most width columns, between words where possible.
func wrap(text string, width int) (lines []string) {
	width = max(1, width)
	runes := []rune(strings.TrimRight(text, " "))
	for len(runes) > width {
		end := width
		for i := width; i > width/2; i-- {
			if runes[i] == ' ' {
				end = i
				break
			}
		}
		lines = append(lines, strings.TrimRight(string(runes[:end]), " "))
		for runes = runes[end:]; len(runes) > 0 && runes[0] == ' '; {
			runes = runes[1:]
		}
	}
	if len(runes) > 0 || lines == nil {
		lines = append(lines, string(runes))
	}
	return lines
}

// legend explains the marks that the table uses, if it is for a window.
func (t *table) legend() {
	if t.look.Width <= 0 {
		return
	}
	var marks []string
	if t.late {
		marks = append(marks, "LATE: from an event to its storage, the median and the slowest hundredth")
	}
	if t.doubts {
		marks = append(marks, "? it may have been connected: nobody could be asked")
	}
	if t.dashes {
		marks = append(marks, "- none, or not known")
	}
	if t.cuts {
		marks = append(marks, "… cut; --json has it whole")
	}
	if len(t.left) > 0 {
		marks = append(marks, "no room for "+strings.Join(t.left, ", ")+": see --json, or a wider window")
	}
	if len(marks) == 0 {
		return
	}
	t.b.WriteByte('\n')
	for _, mark := range marks {
		t.paragraph(mark, t.look.Paint.Faint)
	}
}
