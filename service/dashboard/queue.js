/** The queue and the jobs of late. */

import { request } from "./api.js";
import { byId, make, say, showList } from "./dom.js";
import { between, clock, counted, duration } from "./format.js";
import { choose } from "./job.js";
import { badge, ENDED, outcome, title } from "./job_words.js";
import { guarded } from "./notices.js";
import { changed } from "./refresh.js";

/** Show these jobs (newest first): what runs, what waits in its order, then what has ended. */
export function showQueue(jobs) {
    const place = ({ state, queue_position: position }) => (state === "running" ? -1 : (position ?? Infinity));
    const ordered = [...jobs].sort((a, b) => {
        const [first, second] = [place(a), place(b)];
        return first === second ? 0 : first - second; // the sort is stable: the others stay newest first
    });
    const waiting = jobs.filter((job) => job.state === "queued").length;
    say(byId("queue-count"), jobs.length ? `${counted(waiting, "job")} waiting` : "No job yet");
    const stable = ordered.map(({ progress, updated, ...job }) => job); // those change all the time
    showList(byId("queue-list"), stable, (job) => job.id, row);
}

function row(job) {
    const took = job.started && job.finished ? `, took ${duration(between(job.started, job.finished))}` : "";
    const before = job.queue_position ? `, ${job.queue_position} before it` : "";
    const show = make("button", {
        type: "button",
        className: "small",
        dataset: { action: "show" },
        textContent: "Show",
        ariaLabel: `Show ${title(job)}`,
        on: { click: () => choose(job.id) },
    });
    const cancel = make("button", {
        type: "button",
        className: "small",
        dataset: { action: "cancel" },
        textContent: "Cancel",
        ariaLabel: `Cancel ${title(job)}`,
        disabled: job.cancel_requested,
        on: { click: guarded(() => request(`jobs/${job.id}/cancel`, { method: "POST" }).then(() => changed("jobs"))) },
    });
    return make(
        "li",
        {},
        make(
            "div",
            { className: "grow" },
            make(
                "div",
                {},
                badge(job.state),
                make("span", { className: "muted" }, ` ${clock(job.created)}${before}${took}`),
            ),
            make("div", { className: "what" }, title(job)),
            outcome(job, true) ? make("div", { className: "muted" }, outcome(job, true)) : null,
        ),
        make("div", { className: "actions" }, ENDED.has(job.state) ? null : cancel, show),
    );
}
