/** The samples that were posted one by one: how many are in which state, and what was not taken and why. */

import { request } from "./api.js";
import { byId, make, say, showList } from "./dom.js";
import { clock, number } from "./format.js";

const STATES = ["unlabelled", "queued", "training", "learned"];
const PAGE = 200;
const QUARANTINED = 20;

/** Show how many samples of a model are in each state. */
export async function showCounts(name) {
    const pages = await Promise.all(
        STATES.map((state) => request(`samples?model=${encodeURIComponent(name)}&state=${state}&limit=${PAGE}`)),
    );
    STATES.forEach((state, index) => {
        const { data, next } = pages[index];
        say(byId(`count-${state}`), number(data.length) + (next === null ? "" : "+"));
    });
    return pages[0].data;
}

/** Show what was refused of late. */
export async function showQuarantine() {
    const { data, next } = await request(`quarantine?limit=${QUARANTINED}`);
    say(byId("count-quarantine"), number(data.length) + (next === null ? "" : "+"));
    byId("quarantine-none").hidden = data.length > 0;
    showList(
        byId("quarantine-list"),
        data,
        (entry) => JSON.stringify(entry),
        ({ at, source, reason }) =>
            make("li", {}, make("time", {}, clock(at)), ` ${source}: `, make("span", { className: "muted" }, reason)),
    );
}
