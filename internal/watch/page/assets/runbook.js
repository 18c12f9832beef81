// Links to the runbook, which this replica serves itself.
import { clean, el } from "./format.js";

export const runbook = (chapter) => el("a.runbook", {
  href: "runbook/" + encodeURIComponent(String(chapter).toWellFormed()), target: "_blank", rel: "noreferrer",
  "aria-label": clean("What to do: " + chapter) + ", in the runbook",
}, "what to do");
