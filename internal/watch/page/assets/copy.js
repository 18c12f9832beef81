// Buttons that copy a text.
import { el, set } from "./format.js";

// copyButton copies what text returns, and says that it has.
export function copyButton(title, text) {
  const button = el("button", { type: "button" }, title);
  button.addEventListener("click", async () => {
    set(button, (await copy(text(), button)) ? "Copied" : "Not copied: the browser does not let this page");
    setTimeout(() => set(button, title), 2000);
  });
  return button;
}

// copy prefers the way that browsers offer to pages of this machine and over TLS only.
async function copy(text, beside) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = el("textarea.unseen", { "aria-hidden": "true" });
    field.value = text;
    beside.after(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    beside.focus();
    return done;
  }
}
