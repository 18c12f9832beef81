package browsertest

import (
	"context"
	"encoding/json"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Press presses keys one by one. They go to the element with the focus.
func (b *Browser) Press(keys string) {
	b.t.Helper()
	for _, r := range keys {
		var down input.DispatchKeyEventParams
		for _, k := range kb.Encode(r) {
			switch k.Type {
			case kb.KeyDown:
				down = *k
			case kb.KeyChar: // the page can prevent it only as part of the key event
				down.Text = k.Text
			}
		}
		up := down
		up.Type, up.Text = kb.KeyUp, ""
		b.Run(call(input.DispatchKeyEvent, down), call(input.DispatchKeyEvent, up))
	}
}

// Paste pastes from the clipboard.
func (b *Browser) Paste() {
	b.t.Helper()
	b.Run(call(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: "keyDown", Key: "v", Commands: []string{"paste"}}))
}

// Control is an element as a screen reader announces it.
type Control struct{ Role, Name string }

// controls are the roles of elements that must have a name.
var controls = map[string]bool{
	"button": true, "link": true, "checkbox": true, "searchbox": true, "textbox": true, "combobox": true, "option": true, "DisclosureTriangle": true,
	"region": true, "image": true, "img": true, "table": true, "form": true, "search": true,
}

// Controls returns everything that can be operated, and the pictures and regions that must have a
// name.
func (b *Browser) Controls() []Control {
	b.t.Helper()
	tree, err := chromedp.Run(b.Context, func(ctx context.Context, target *chromedp.Target) (accessibility.GetFullAXTreeResult, error) {
		if _, err := cdp.Call(ctx, target, accessibility.Enable, cdp.Empty{}); err != nil {
			return accessibility.GetFullAXTreeResult{}, err
		}
		return cdp.Call(ctx, target, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	text := func(v *accessibility.Value) (s string) {
		if v != nil {
			json.Unmarshal(v.Value, &s) //nolint:errcheck // then it has none
		}
		return s
	}
	var all []Control
	for _, n := range tree.Nodes {
		if role := text(n.Role); !n.Ignored && controls[role] {
			all = append(all, Control{role, text(n.Name)})
		}
	}
	return all
}
