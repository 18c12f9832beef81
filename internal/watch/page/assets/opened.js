// A whole event: its headers and its body, as text. Who may see them is the server's to
// say; anybody is told the command that shows them.
import { el, set, visible } from "./format.js";
import { copyButton } from "./copy.js";

export class Opened {
  constructor(e, stream) {
    this.seq = e.seq;
    this.said = el("p", { role: "status" }, "Reading it from the stream …");
    this.content = el("div");
    this.whole = el("span");
    this.node = el("div.opened", {},
      el("p.buttons", {}, copyButton("Copy message id", () => e.id), this.whole, el("code", {}, `nats stream get ${stream || "ZOOM"} ${e.seq}`)),
      this.said, this.content);
    this.load();
  }

  async load() {
    try {
      const response = await fetch("event/" + this.seq, { cache: "no-store" });
      if (!response.ok) return this.refuse(await response.text());
      this.show(await response.json());
    } catch (error) {
      this.refuse(String(error.message ?? error));
    }
  }

  refuse(why) {
    set(this.said, "Not shown here: " + why.trim() + ". The command above shows it to whoever may read the stream.");
  }

  show(stored) {
    const headers = stored.headers ?? [];
    set(this.said, "");
    this.content.replaceChildren(
      el("dl.headers", {}, ...[{ name: "subject", value: stored.subject }, ...headers].map(header)),
      body(stored));
    const text = [stored.subject, ...headers.map((h) => `${h.name}: ${h.value}`), "", stored.body].join("\n");
    this.whole.replaceChildren(copyButton(stored.cut ? "Copy event, without its end" : "Copy event", () => text));
  }
}

function header({ name, value }) {
  const text = el("bdi");
  text.textContent = visible(value);
  return el("div", {}, el("dt", {}, name), el("dd", {}, text));
}

function body(stored) {
  const text = el("pre", { tabindex: "0", role: "region", "aria-label": "Body of the event" });
  text.textContent = visible(stored.body);
  if (!stored.cut) return text;
  return el("div", {}, text, set(el("p.muted"), `The end is left out: the body has ${stored.bytes} bytes.`));
}
