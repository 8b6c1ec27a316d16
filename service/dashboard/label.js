/** Labelling: the samples without a label as pictures, a button a class, and the keys 0 to 9. */

import { request } from "./api.js";
import { byId, make, say } from "./dom.js";
import { clock, short } from "./format.js";
import { guarded, report, tell } from "./notices.js";
import { changed } from "./refresh.js";
import { tryPixels } from "./try.js";
import { pixelsOfFile, showPixels } from "./picture.js";

const STRIP = 12; // small pictures of those that come next
const KEYS = 10;

let classes = [];
let shape = null;
let waiting = []; // samples, oldest first
const done = new Set(); // labelled here; the next answer may still list them
let before = null; // the last one that was labelled here
let busy = false;
const pictures = new Map(); // sample id: a promise of its pixels

/** Set up the panel. */
export function startLabelling() {
    byId("label").addEventListener("keydown", pressed);
    byId("label-undo").addEventListener("click", undo);
    byId("label-drop").addEventListener("click", guarded(drop));
    byId("label-try").addEventListener(
        "click",
        guarded(async () => tryPixels(await pixelsOfSample(waiting[0]))),
    );
}

/** Show these samples without a label (newest first) of a model with these classes. */
export function showUnlabelled(samples, version) {
    shape = version.shape;
    if (classes.join("\n") !== version.classes.join("\n")) {
        classes = version.classes;
        byId("label-classes").replaceChildren(...classes.map(classButton));
    }
    const current = waiting[0];
    const fresh = samples.filter(({ id }) => !done.has(id)).reverse();
    const again = current && (fresh.find(({ id }) => id === current.id) ?? (current === before ? current : undefined));
    waiting = again ? [again, ...fresh.filter(({ id }) => id !== again.id)] : fresh;
    show();
}

function classButton(name, index) {
    const key = index < KEYS ? make("kbd", {}, String(index)) : null;
    return make("button", { type: "button", on: { click: () => give(index) } }, key, key ? " " : null, name);
}

function show() {
    const [current, ...next] = waiting;
    const box = byId("label");
    byId("label-empty").hidden = Boolean(current);
    box.hidden = !current;
    if (!current) return;
    say(
        byId("label-about"),
        `posted ${clock(current.created)}${waiting.length > 1 ? `, ${waiting.length - 1} more` : ""}`,
    );
    picture(byId("label-picture"), current);
    const strip = byId("label-strip");
    const shown = next.slice(0, STRIP);
    if (strip.dataset.ids !== shown.map(({ id }) => id).join()) {
        strip.dataset.ids = shown.map(({ id }) => id).join();
        strip.replaceChildren(...shown.map((sample) => picture(make("canvas", {}), sample)));
    }
}

function picture(canvas, sample) {
    if (canvas.dataset.sample === sample.id) return canvas;
    canvas.dataset.sample = sample.id;
    pixelsOfSample(sample).then(
        (pixels) => canvas.dataset.sample === sample.id && showPixels(canvas, pixels, shape),
        tell,
    );
    return canvas;
}

function pixelsOfSample({ id }) {
    if (!pictures.has(id)) {
        const load = request(`samples/${id}/image`, { as: "response", headers: { Accept: "image/png" } })
            .then((response) => response.blob())
            .then((blob) => pixelsOfFile(blob, shape));
        load.catch(() => pictures.delete(id));
        pictures.set(id, load);
    }
    return pictures.get(id);
}

/** Keys count while something in the box has the focus: elsewhere a digit must stay a digit. */
function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^[0-9]$/.test(event.key) && Number(event.key) < classes.length) give(Number(event.key));
    else if (event.key === "u") undo();
    else return;
    event.preventDefault();
}

async function give(label) {
    const [sample] = waiting;
    if (!sample || busy) return;
    busy = true;
    try {
        const { action, job, reason } = await request(`samples/${sample.id}`, { method: "PATCH", json: { label } });
        say(byId("label-said"), `${classes[label]}.`);
        if (action === "learning") report("Enough samples: a job learns them", `${short(job)} is in the queue.`);
        else if (reason) report("The sample is queued, and no job was started", reason);
        before = sample;
        next(sample);
    } catch (error) {
        tell(error);
    }
    busy = false;
}

async function drop() {
    const [sample] = waiting;
    await request(`samples/${sample.id}`, { method: "DELETE" });
    next(sample);
}

/** Show the last one again, to give it another label: its old one stays until then. */
function undo() {
    if (!before) return;
    done.delete(before.id);
    waiting = [before, ...waiting.filter(({ id }) => id !== before.id)];
    show();
}

function next(sample) {
    done.add(sample.id);
    pictures.delete(sample.id);
    waiting = waiting.filter(({ id }) => id !== sample.id);
    show();
    changed("samples");
}
