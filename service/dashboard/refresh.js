/** Asking again: each subject at its own pace, at once after something was done, and never while nobody looks. */

import { tell } from "./notices.js";

const asked = new Map(); // subject: a function that asks now
const lost = new Set(); // subjects that had no answer

/** Call `load` every so many seconds. An error is shown once, until it is another one or gone. */
export function poll(subject, seconds, load) {
    let timer = 0;
    let running = false;
    let again = false;
    let told = "";

    async function ask() {
        clearTimeout(timer);
        again = true;
        if (running) return;
        running = true;
        while (again) {
            again = false;
            try {
                await load();
                told = "";
                found(subject);
            } catch (error) {
                if (error.code === "unreachable") lost.add(subject);
                else found(subject);
                if (error.code !== "unreachable" && error.message !== told) tell(error);
                told = error.message;
            }
            dispatchEvent(new CustomEvent("strop-reachable", { detail: !lost.has(subject) }));
        }
        running = false;
        if (!document.hidden) timer = setTimeout(ask, 1000 * seconds);
    }

    asked.set(subject, ask);
    ask();
}

/** The box answers: if it did not before, the others that it left without an answer ask again. */
function found(subject) {
    if (lost.delete(subject) && lost.size) changed(...lost);
}

/** Something was done: ask for these subjects now, or for all of them. */
export function changed(...subjects) {
    for (const [subject, ask] of asked) if (!subjects.length || subjects.includes(subject)) ask();
}

addEventListener("visibilitychange", () => document.hidden || changed());
addEventListener("strop-key", () => changed());
