/** The device: whether the box is ready and why not, what it computes on, who holds that, and what it does now. */

import { byId, say } from "./dom.js";
import { clock, counted, short } from "./format.js";

const DOING = {
    starting: "opening the device",
    idle: "waiting for a job",
    training: "training",
    stopping: "stopping",
    failed: "nothing: the device failed",
    dead: "nothing: the worker ended and is being started again",
    none: "nothing: there is no worker yet",
};

/** Show what GET /device says; `problem` is what GET /readyz refused with, or null. */
export function showDevice(found, problem) {
    const { device, selftest, worker, state } = found;
    if (problem) ready("bad", "Not ready");
    else if (state === "training") ready("busy", "Training");
    else ready("good", "Ready");
    say(byId("ready-why"), problem ? problem.detail : "");
    say(byId("device-name"), device?.error ? "none" : (device?.description ?? device?.name ?? "not known yet"));
    say(byId("device-test"), selftestWords(selftest));
    say(
        byId("device-holder"),
        worker ? `strop's worker, process ${worker.pid}, since ${clock(worker.started)}` : "nobody",
    );
    say(byId("device-doing"), (DOING[state] ?? state) + (found.job ? ` (job ${short(found.job)})` : ""));
}

/** The box does not answer, or does again. */
export function showReachable(reachable) {
    if (reachable) return;
    ready("bad", "Not reachable");
    say(byId("ready-why"), "The box does not answer. This page goes on by itself when it does.");
}

function ready(kind, text) {
    byId("ready").className = `pill ${kind}`;
    say(byId("ready"), text);
}

function selftestWords(selftest) {
    if (!selftest) return "not run yet";
    const { passed, cases, wrong } = selftest;
    return passed ? `passed, ${counted(cases, "case")}` : `failed: ${wrong.join(", ")}`;
}
