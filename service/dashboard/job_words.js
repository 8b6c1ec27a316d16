/** What a job is, and what came of it, in words. */

import { make } from "./dom.js";
import { percent } from "./format.js";

export const ENDED = new Set(["succeeded", "failed", "cancelled"]);

export function badge(state) {
    return make("span", { className: `badge ${state}` }, state);
}

/** "lenet5-fashion-mnist@1 on fashion-mnist, invert" */
export function title(job) {
    const { request, model, version } = job.spec;
    if (job.kind !== "finetune" || !request) return `${job.kind} ${model ?? ""}${version ? ` ${version}` : ""}`.trim();
    return `${model} on ${request.data}${request.shift ? `, ${request.shift}` : ""}`;
}

/** What came of it; "" while nothing has. Brief is for lists. */
export function outcome(job, brief = false) {
    if (job.error) return [job.error.detail, job.error.remedy].filter(Boolean).join(" ");
    if (job.state === "cancelled") return "Cancelled. No version came of it.";
    if (job.state !== "succeeded" || !job.result) return "";
    return job.kind === "verify" ? verified(job.result) : learned(job.result, brief);
}

function learned({ version, accuracy, gate }, brief) {
    const before = accuracy?.before?.validation;
    const after = accuracy?.after?.validation;
    const words = [`Version ${version}`];
    if (after !== null && after !== undefined)
        words.push(`${brief ? "" : "accuracy "}${percent(before)} → ${percent(after)}`);
    if (gate && !gate.passed) words.push(brief ? "refused" : `the gate refused it: ${gate.reasons.join("; ")}`);
    else if (gate?.promote) words.push(`promoted to ${gate.promote}`);
    return words.join(" · ");
}

/** Whether a version is what its job makes of its parent, byte for byte. */
function verified({ equal, reason, differ }) {
    if (equal) return "The same bytes, trained again.";
    if (equal === null) return `Cannot be repeated: ${reason}.`;
    return `Not the same bytes: ${reason}${differ?.length ? ` (${differ.slice(0, 3).join(", ")})` : ""}.`;
}
