/** The form that starts a fine-tuning, or says what one would be. */

import { request } from "./api.js";
import { byId, offer, say } from "./dom.js";
import { bytes, counted, duration, short } from "./format.js";
import { choose } from "./job.js";
import { guarded } from "./notices.js";
import { changed } from "./refresh.js";

/** What every box has. */
export const BUILT_IN = ["fashion-mnist-subset", "fashion-mnist"];
export const SHIFTS = ["invert", "rotate90", "noise", "contrast"];
const MOST_VERSIONS = 20;

let last = { body: "", key: "" };

/** Set up the form. */
export function startForm() {
    offer(byId("start-shift"), { "": [["", "none"], ...SHIFTS.map((name) => [name, name])] });
    offerData([]);
    byId("start").addEventListener("submit", guarded(send));
    byId("start").addEventListener("input", () => say(byId("estimate"), ""));
}

/** Offer the versions of these models: those that an alias names, then by number. */
export function offerModels(models) {
    const versionsOf = ({ name, aliases, versions }) => [
        ...Object.entries(aliases).map(([alias, number]) => [`${name}@${alias}`, `${alias} (version ${number})`]),
        ...versions.slice(0, MOST_VERSIONS).map(({ number }) => [`${name}@${number}`, `version ${number}`]),
    ];
    offer(byId("start-model"), Object.fromEntries(models.map((model) => [model.name, versionsOf(model)])));
}

/** Offer these uploaded data sets, after those that every box has. */
export function offerData(datasets) {
    const uploaded = datasets.map(({ id, name, samples }) => [
        id,
        `${name || short(id)} (${counted(samples, "sample")})`,
    ]);
    offer(byId("start-data"), {
        "built in": BUILT_IN.map((name) => [name, name]),
        ...(uploaded.length && { uploaded }),
        "posted one by one": [["samples", "samples with a label"]],
    });
}

async function send(event) {
    const dry = event.submitter?.value === "dry";
    const body = { ...read(), dry_run: dry };
    say(byId("estimate"), "");
    if (dry) {
        say(byId("estimate"), words(await request("finetune", { method: "POST", json: body })));
        return;
    }
    const job = await request("finetune", { method: "POST", json: body, headers: { "Idempotency-Key": once(body) } });
    last = { body: "", key: "" };
    choose(job.id, job);
    changed("jobs", "device");
    byId("job").scrollIntoView({ block: "nearest" });
}

function read() {
    const value = (name) => byId(`start-${name}`).value.trim();
    const rate = value("rate");
    const body = {
        model: value("model"),
        data: value("data"),
        shift: value("shift") || null,
        steps: Number(value("steps")),
        learning_rate: rate === "auto" ? rate : Number(rate),
        batch: Number(value("batch")),
        seed: Number(value("seed")),
    };
    if (value("least")) body.gate = { min_accuracy: Number(value("least")) / 100 };
    if (byId("start-promote").checked) body.gate = { ...body.gate, promote: "production" };
    return body;
}

/** The same request sent again, because no answer came, has the same key: it cannot become two jobs. */
function once(body) {
    const text = JSON.stringify(body);
    if (last.body !== text) {
        const random = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is missing where the box has no https
        last = { body: text, key: Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("") };
    }
    return last.key;
}

function words(estimate) {
    const boards = Object.entries(estimate.modelled_seconds).map(([board, seconds]) => `${board} ${duration(seconds)}`);
    return (
        `${counted(estimate.steps, "step")} on ${counted(estimate.samples, "sample")}, ` +
        `${bytes(estimate.memory_bytes)} of device memory. Steps alone, modelled: ${boards.join(", ")}. ` +
        "Nothing was started."
    );
}
