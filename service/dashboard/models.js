/** Models: every version with where it came from and what it is worth, what the aliases point at, and moving them. */

import { request } from "./api.js";
import { byId, make, offer, say, showList } from "./dom.js";
import { clock, percent, short } from "./format.js";
import { choose } from "./job.js";
import { guarded, report } from "./notices.js";
import { changed } from "./refresh.js";

const PRODUCTION = "production";
const FIRST = 8; // versions, before one asks for all

let model = null;
let all = false; // versions
let confirmed = null; // what the dialog's button does

/** Set up the panel; `onChosen(name)` is called when another model is to be shown. */
export function startModelPanel(onChosen) {
    byId("model-choice").addEventListener("change", () => onChosen(byId("model-choice").value));
    byId("history").addEventListener("toggle", guarded(showHistory));
    byId("versions-all").addEventListener("click", () => {
        all = true;
        showVersions();
    });
    const dialog = byId("confirm");
    byId("confirm-form").addEventListener(
        "submit",
        guarded(async () => {
            await confirmed(byId("confirm-reason").value.trim() || null);
            dialog.close();
        }),
    );
    byId("confirm-cancel").addEventListener("click", () => dialog.close());
}

/** Show a model (GET /models/{name}); `names` are those of all models. */
export function showModel(found, names) {
    model = found;
    offer(byId("model-choice"), { "": names.map((name) => [name, name]) });
    byId("model-choice").value = found.name;
    showList(byId("aliases"), Object.entries(found.aliases), ([alias]) => alias, aliasRow);
    showVersions();
    guarded(showHistory)();
}

function showVersions() {
    const { versions, next } = model;
    const some = versions.filter((version, index) => all || index < FIRST || version.aliases.length);
    showList(byId("versions"), some, (version) => version.number, versionRow);
    byId("versions-all").hidden = some.length === versions.length;
    say(byId("versions-all"), `Show all ${versions.length} versions`);
    say(byId("versions-older"), next ? "Still older versions are not shown; GET /models tells of them." : "");
}

function aliasRow([alias, number]) {
    const roll = button("Roll back", "rollback", `Roll back ${alias}`, () =>
        confirm({
            title: `Roll back ${alias}?`,
            text: `${model.name}@${alias} points at version ${number}. It goes back to what it pointed at before.`,
            action: "Roll back",
            run: (reason) => rollBack(alias, number, reason),
        }),
    );
    return make("li", {}, make("span", { className: "alias" }, alias), ` version ${number} `, roll);
}

function versionRow(version) {
    const { number, aliases, accuracy, gate, created } = version;
    const promote = button("Promote", "promote", `Promote version ${number}`, () =>
        confirm({
            title: `Promote version ${number}?`,
            text: `${model.name}@${PRODUCTION} will point at version ${number}, from the next prediction on.`,
            action: "Promote",
            run: (reason) => promoteTo(number, reason),
        }),
    );
    promote.disabled = aliases.includes(PRODUCTION);
    const verify = button(
        "Verify",
        "verify",
        `Verify version ${number}`,
        guarded(() => verifyVersion(number)),
    );
    verify.disabled = version.job === null;
    if (verify.disabled) verify.title = "It was imported: there is no job to repeat.";
    const download = button(
        "Download",
        "download",
        `Download version ${number}`,
        guarded(() => downloadVersion(number)),
    );
    return make(
        "tr",
        {},
        cell(
            "Version",
            make("strong", {}, String(number)),
            make("div", { className: "muted" }, clock(created)),
            ...aliases.map((alias) => make("span", { className: "alias" }, alias)),
        ),
        cell("From", lineage(version)),
        cell("Accuracy", ...accuracyWords(accuracy)),
        cell("Gate", gateWords(gate)),
        make("td", { className: "actions" }, promote, verify, download),
    );
}

function cell(name, ...children) {
    return make("td", { dataset: { name } }, make("div", {}, ...children));
}

function lineage({ parent, job, source, data, sha256 }) {
    const words = parent === null ? (source ?? "import") : `version ${parent}, ${data ?? short(job)}`;
    const digest = make("div", {
        className: "muted",
        title: `SHA-256 of the weights and all training state: ${sha256}`,
    });
    digest.append(make("code", {}, sha256.slice(0, 12)));
    const show =
        job &&
        make("button", {
            type: "button",
            className: "link",
            dataset: { action: "job" },
            textContent: "job",
            ariaLabel: `Show ${job}`,
            on: { click: () => choose(job) },
        });
    return make("div", {}, words, show ? " · " : null, show, digest);
}

function accuracyWords(accuracy) {
    const { before = {}, after = {} } = accuracy ?? {};
    const lines = [];
    for (const [name, words] of [
        ["validation", ""],
        ["reference", "kept: "],
    ]) {
        if (after[name] === null || after[name] === undefined) continue;
        const gained = after[name] >= before[name];
        const change = make("strong", { className: gained ? "up" : "down" }, percent(after[name]));
        lines.push(make("div", {}, `${words}${percent(before[name])} → `, change));
    }
    return lines.length ? lines : ["not measured"];
}

function gateWords(gate) {
    if (!gate) return "–";
    if (!gate.passed) return make("span", { className: "badge failed", title: gate.reasons.join("; ") }, "refused");
    return make("span", { className: "badge succeeded" }, "passed");
}

function button(text, action, label, click) {
    const options = { type: "button", className: "small", dataset: { action }, textContent: text, ariaLabel: label };
    return make("button", { ...options, on: { click } });
}

function confirm({ title, text, action, run }) {
    confirmed = run;
    say(byId("confirm-title"), title);
    say(byId("confirm-text"), text);
    say(byId("confirm-do"), action);
    byId("confirm-reason").value = "";
    byId("confirm").showModal();
}

async function promoteTo(number, reason) {
    const path = `models/${model.name}/aliases/${PRODUCTION}`;
    const { previous } = await request(path, { method: "PUT", json: { version: number, reason } });
    report(`Version ${number} is in ${PRODUCTION}`, previous ? `It was version ${previous}.` : "");
    changed("models");
}

async function rollBack(alias, current, reason) {
    const json = { alias, current, reason };
    const { version } = await request(`models/${model.name}/rollback`, { method: "POST", json });
    report(`${alias} is version ${version} again`, `It was version ${current}.`);
    changed("models");
}

async function verifyVersion(number) {
    const job = await request(`models/${model.name}/versions/${number}/verify`, { method: "POST" });
    report(`A job trains version ${number} again`, "It tells whether the bytes are the same.");
    choose(job.id, job);
}

async function downloadVersion(number) {
    const response = await request(`models/${model.name}/versions/${number}/weights`, {
        as: "response",
        headers: { Accept: "*/*" },
    });
    const url = URL.createObjectURL(await response.blob()); // not a plain link: that could not send the key
    make("a", { href: url, download: `${model.name}-${number}.safetensors` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

async function showHistory() {
    if (!byId("history").open || !model) return;
    const { data } = await request(`models/${model.name}/history`);
    showList(
        byId("history-list"),
        data,
        (change) => change.id,
        ({ at, alias, action, previous, version, reason, key }) =>
            make(
                "li",
                {},
                make("time", {}, clock(at)),
                ` ${action}: ${alias} ${previous === null ? "" : `from version ${previous} `}to version ${version}`,
                make(
                    "span",
                    { className: "muted" },
                    [reason, key && `by ${key}`]
                        .filter(Boolean)
                        .map((word) => ` · ${word}`)
                        .join(""),
                ),
            ),
    );
}
