/** What went wrong, and what to do: notices that stay until they are dismissed, over the page and not in its way. */

import { Problem } from "./api.js";
import { byId, make } from "./dom.js";

const MOST = 4;

/** Show an error with its detail and remedy. */
export function tell(error) {
    const problem =
        error instanceof Problem ? error : new Problem({ title: "This page failed", detail: String(error) });
    if (!(error instanceof Problem)) console.error(error);
    const request = problem.status >= 500 && problem.instance; // what the log calls it
    show("bad", problem.title, [problem.detail, problem.remedy, request && `Request ${request}`]);
    if (problem.wantsKey) dispatchEvent(new Event("strop-key-wanted"));
}

/** Show that something was done. */
export function report(title, detail) {
    show("good", title, [detail]);
}

/** Return a listener that runs `action`; while it runs its button is disabled, and errors are shown. */
export function guarded(action) {
    return async (event) => {
        event?.preventDefault?.();
        const button = event?.submitter ?? (event?.currentTarget?.tagName === "BUTTON" ? event.currentTarget : null);
        if (button) button.disabled = true;
        try {
            await action(event);
        } catch (error) {
            tell(error);
        } finally {
            if (button) button.disabled = false;
        }
    };
}

/** Notices lie in an open dialog, for what is outside it cannot be reached; else in the page. */
function box() {
    const place = document.querySelector("dialog[open]") ?? document.body;
    const found = byId("notices");
    if (found.parentElement !== place) place.append(found);
    return found;
}

document.addEventListener("close", box, true);

function show(kind, title, lines) {
    const text = [title, ...lines.filter(Boolean)].join("\n");
    const { children } = box();
    for (const old of [...children]) if (old.dataset.text === text) old.remove();
    while (children.length >= MOST) children[0].remove();
    const notice = make(
        "div",
        { className: `notice ${kind}`, dataset: { text } },
        make("div", {}, make("strong", {}, title), ...lines.filter(Boolean).map((line) => make("p", {}, line))),
    );
    const close = make("button", { type: "button", className: "plain", ariaLabel: "Dismiss", textContent: "×" });
    close.addEventListener("click", () => notice.remove());
    notice.append(close);
    box().append(notice);
    if (kind === "good") setTimeout(() => notice.remove(), 6000);
}
