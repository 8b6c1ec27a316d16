/** A job's events, each once and in order, over lost connections and restarts of the box. */

import { address } from "./api.js";

const TYPES = [
    "queued",
    "started",
    "progress",
    "epoch",
    "checkpoint",
    "interrupted",
    "resumed",
    "gate",
    "succeeded",
    "failed",
    "cancelled",
];
const LAST = new Set(["succeeded", "failed", "cancelled"]);
const PAUSE_MS = 2000;

/**
 * Call onEvent({id, type, data}) for each event from the first on, and onConnected(bool) as the connection comes and
 * goes. Return a function that ends it. After the job's last event it ends by itself.
 */
export function follow(job, onEvent, onConnected) {
    let seen = 0;
    let source = null;
    let timer = 0;
    let ended = false;

    function open() {
        source = new EventSource(address(`jobs/${job}/events?after=${seen}`, true));
        source.addEventListener("open", () => onConnected(true));
        for (const type of TYPES) source.addEventListener(type, receive);
        source.addEventListener("error", () => {
            onConnected(false);
            // A browser comes back by itself, with Last-Event-ID, unless the answer was an error: then it gives up.
            if (source.readyState === EventSource.CLOSED && !ended) timer = setTimeout(open, PAUSE_MS);
        });
    }

    function receive(message) {
        const id = Number(message.lastEventId);
        if (id <= seen || ended) return;
        seen = id;
        if (LAST.has(message.type)) stop(); // or the browser would ask again for ever
        onEvent({ id, type: message.type, data: JSON.parse(message.data) });
    }

    function stop() {
        ended = true;
        clearTimeout(timer);
        source.close();
        removeEventListener("visibilitychange", rest, true);
    }

    /** A tab that nobody looks at holds no connection: a browser has six for a box, over all its tabs. */
    function rest() {
        clearTimeout(timer);
        source.close();
        if (!document.hidden) open();
    }

    addEventListener("visibilitychange", rest, true);
    open();
    return stop;
}
