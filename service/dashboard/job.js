/** One job, live: its curves from the event stream, how far it is, and a button to cancel it. */

import { request } from "./api.js";
import { Chart } from "./chart.js";
import { Curves } from "./curves.js";
import { byId, make, say } from "./dom.js";
import { follow } from "./follow.js";
import { between, clock, duration, number, percent } from "./format.js";
import { badge, ENDED, outcome, title } from "./job_words.js";
import { guarded } from "./notices.js";
import { changed } from "./refresh.js";

const STATE_AFTER = {
    queued: "queued",
    interrupted: "queued",
    started: "running",
    resumed: "running",
    succeeded: "succeeded",
    failed: "failed",
    cancelled: "cancelled",
};
const LOGGED = 40;
const CLOCK_MS = 1000;

/** What is shown: also what a test of the page looks at. */
export const shown = { job: null, curves: new Curves(), chosen: null };

let charts = null;
let stop = () => {};
let progress = null;
let drawing = false;

/** Set up the panel. */
export function startJobPanel() {
    charts = {
        loss: new Chart(byId("loss"), {
            name: "Loss",
            unit: "",
            digits: 3,
            range: (plot, low, high) => [0, high > 0 ? high * 1.05 : 1],
            lines: [
                { label: "batch", color: "loss", faint: true },
                { label: "smoothed", color: "loss" },
            ],
        }),
        accuracy: new Chart(byId("accuracy"), {
            name: "Accuracy",
            unit: "\u00a0%",
            digits: 1,
            range: [0, 100],
            lines: [
                { label: "batch", color: "accuracy", faint: true },
                { label: "smoothed", color: "accuracy" },
                { label: "validation", color: "validation", dots: true },
            ],
        }),
    };
    byId("cancel").addEventListener("click", guarded(cancel));
    setInterval(() => shown.job && showTimes(), CLOCK_MS);
}

/** Show one of these jobs (newest first): the chosen one, else the one that runs, else the last fine-tuning. */
export function showJobs(jobs) {
    const wanted =
        jobs.find((job) => job.id === shown.chosen) ??
        jobs.find((job) => job.state === "running" && job.kind === "finetune") ??
        (shown.job && jobs.find((job) => job.id === shown.job.id)) ??
        jobs.find((job) => job.kind === "finetune") ??
        jobs[0];
    if (!wanted) return;
    if (shown.job?.id !== wanted.id) begin(wanted);
    shown.job = wanted;
    showState();
}

/** Show this job from now on, whatever else runs; at once if it is here already. */
export function choose(id, job) {
    shown.chosen = id;
    if (job) showJobs([job]);
    changed("jobs");
}

function begin(job) {
    stop();
    Object.assign(shown, { job, curves: new Curves() });
    progress = null;
    byId("log").replaceChildren();
    draw();
    stop = follow(job.id, receive, (connected) => say(byId("job-connection"), connected ? "" : "Reconnecting …"));
}

function receive({ type, data }) {
    if (type === "progress") {
        shown.curves.addProgress(data);
        progress = data;
    } else if (type === "epoch") shown.curves.addEpoch(data);
    else if (type !== "checkpoint") log(type, data); // they would hide what is rare
    if (STATE_AFTER[type]) {
        shown.job = { ...shown.job, state: STATE_AFTER[type] };
        showState();
        changed("jobs", "device");
        if (ENDED.has(type)) changed("models", "samples");
    }
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(draw);
}

function draw() {
    drawing = false;
    const { curves } = shown;
    charts.loss.show(curves.lossColumns(), curves.steps);
    charts.accuracy.show(curves.accuracyColumns(), curves.steps);
    showTimes();
}

function showState() {
    const { job } = shown;
    say(byId("job-title"), title(job));
    if (byId("job-state").textContent !== job.state) {
        byId("job-state").replaceChildren(badge(job.state));
        charts.loss.describe();
        charts.accuracy.describe();
    }
    say(byId("job-outcome"), outcome(job));
    byId("job-outcome").className = job.state === "failed" ? "outcome bad" : "outcome";
    const cancel = byId("cancel");
    cancel.hidden = ENDED.has(job.state);
    cancel.disabled = job.cancel_requested;
    say(cancel, job.cancel_requested ? "Cancelling …" : "Cancel");
    showTimes();
}

function showTimes() {
    const { job } = shown;
    const now = progress ?? job.progress;
    byId("job-bar").value = job.state === "succeeded" ? 1 : now ? now.step / now.steps : 0;
    say(byId("stat-step"), now ? `${number(now.step)} / ${number(now.steps)}` : "–");
    say(byId("stat-loss"), number(now?.loss, 3));
    say(byId("stat-accuracy"), percent(now?.accuracy));
    say(byId("stat-speed"), now ? `${number(now.images_per_second)} /s` : "–");
    const ended = ENDED.has(job.state);
    say(byId("stat-left-name"), ended ? "Took" : "Left");
    const took = job.started && job.finished ? duration(between(job.started, job.finished)) : "–";
    if (ended) say(byId("stat-left"), took);
    else if (job.state === "queued")
        say(byId("stat-left"), job.queue_position ? `${job.queue_position} before it` : "waiting");
    else say(byId("stat-left"), duration(now?.eta_seconds));
}

function log(type, data) {
    const list = byId("log");
    list.prepend(make("li", {}, make("time", {}, clock(data.at)), ` ${type}`, words(type, data)));
    while (list.children.length > LOGGED) list.lastElementChild.remove();
}

function words(type, data) {
    if (type === "gate") return data.passed ? " passed" : ` refused: ${data.reasons.join("; ")}`;
    const more = data.reason ?? data.detail ?? (data.attempt > 1 ? `attempt ${data.attempt}` : "");
    return more ? `: ${more}` : "";
}

async function cancel() {
    shown.job = await request(`jobs/${shown.job.id}/cancel`, { method: "POST" });
    showState();
    changed("jobs");
}
