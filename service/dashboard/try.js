/** Try a picture: draw or choose one, and see what production and the newest version make of it. */

import { request } from "./api.js";
import { byId, make, say } from "./dom.js";
import { acceptFiles } from "./files.js";
import { percent } from "./format.js";
import { guarded } from "./notices.js";
import { base64, inverted, pixelsOfCanvas, pixelsOfFile, showPixels } from "./picture.js";

const PRODUCTION = "production";
const PEN = 0.09; // of the drawing's width
const PAUSE_MS = 150; // after a stroke, before it is sent

let model = null;
let pixels = null; // as drawn or chosen, before "inverted"
let asked = 0; // an answer to an earlier question is dropped
let timer = 0;

/** Set up the panel. */
export function startTryPanel() {
    drawable(byId("drawing"));
    acceptFiles(
        byId("try-drop"),
        byId("try-file"),
        guarded(async ([file]) => {
            pixels = await pixelsOfFile(file, model.versions[0].shape);
            clear();
            await ask();
        }),
    );
    byId("try-invert").addEventListener("change", guarded(ask));
    byId("try-clear").addEventListener("click", () => {
        clear();
        pixels = null;
        asked += 1;
        byId("seen").getContext("2d").reset();
        show([]);
    });
    clear();
}

/** Use this model (GET /models/{name}) from now on; what is shown is asked again if other versions would answer. */
export function useModel(found) {
    const answering = (which) => which && JSON.stringify([which.name, which.aliases, which.versions[0]?.number]);
    const other = answering(model) !== answering(found);
    model = found;
    if (other) {
        show([]);
        guarded(ask)();
    }
}

/** Ask about these pixels, which have the model's shape. */
export function tryPixels(given) {
    pixels = given;
    clear();
    return ask();
}

async function ask() {
    if (!pixels || !model?.versions.length) return;
    const { shape } = model.versions[0];
    const sent = byId("try-invert").checked ? inverted(pixels) : pixels;
    showPixels(byId("seen"), sent, shape);
    const question = (asked += 1);
    const images = [base64(sent)];
    const answers = await Promise.all(
        candidates().map(async ({ reference, name }) => {
            const answer = await request("predict", { method: "POST", json: { model: reference, images } });
            return { name: `${name} (version ${answer.version})`, ...answer.predictions[0] };
        }),
    );
    if (question === asked) show(answers);
}

function candidates() {
    const newest = model.versions[0].number;
    const production = model.aliases[PRODUCTION];
    const found = [];
    if (production !== undefined) found.push({ reference: `${model.name}@${PRODUCTION}`, name: "production" });
    if (newest !== production) found.push({ reference: `${model.name}@${newest}`, name: "newest" });
    return found;
}

function show(answers) {
    const classes = model?.versions[0]?.classes ?? [];
    const best = answers.map(
        (answer) => `${answer.name}: ${answer.class}, ${percent(answer.probabilities[answer.class])}`,
    );
    say(byId("try-answer"), best.join("\n") || "Draw something, or drop a picture.");
    const names = answers.length ? answers.map((answer) => answer.name) : ["production"];
    byId("try-head").replaceChildren(
        make("th", { scope: "col" }, "Class"),
        ...names.map((name) => make("th", { scope: "col" }, name)),
    );
    byId("try-rows").replaceChildren(
        ...classes.map((name) =>
            make(
                "tr",
                {},
                make("th", { scope: "row" }, name),
                ...(answers.length ? answers : [null]).map((answer) => bar(answer, name)),
            ),
        ),
    );
}

function bar(answer, name) {
    const share = answer?.probabilities[name] ?? null;
    const fill = make("div", { className: answer?.class === name ? "fill best" : "fill" });
    fill.style.width = `${100 * (share ?? 0)}%`;
    const words = make("span", { className: "share" }, percent(share));
    return make("td", {}, make("div", { className: "cell" }, make("div", { className: "bar" }, fill), words));
}

function clear() {
    clearTimeout(timer);
    const pen = byId("drawing").getContext("2d");
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, pen.canvas.width, pen.canvas.height);
}

function drawable(canvas) {
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    let last = null;
    const place = (event) => [
        (event.offsetX * canvas.width) / canvas.clientWidth,
        (event.offsetY * canvas.height) / canvas.clientHeight,
    ];

    function stroke(event) {
        if (!last) return;
        const here = place(event);
        Object.assign(pen, { strokeStyle: "#fff", lineWidth: PEN * canvas.width, lineCap: "round", lineJoin: "round" });
        pen.beginPath();
        pen.moveTo(...last);
        pen.lineTo(...here);
        pen.stroke();
        last = here;
        clearTimeout(timer);
        timer = setTimeout(
            guarded(async () => {
                if (!model) return;
                pixels = pixelsOfCanvas(canvas, model.versions[0].shape);
                await ask();
            }),
            PAUSE_MS,
        );
    }

    canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        last = place(event);
        stroke(event);
    });
    canvas.addEventListener("pointermove", stroke);
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, () => (last = null));
}
