/** The API of this box: requests with the key of this tab, and what it refuses as errors that say what to do. */

const STORED = "strop-key";

/** A refusal (problem details, RFC 9457), or no answer at all: then its code is "unreachable". */
export class Problem extends Error {
    constructor({ title, detail, remedy, code, status, instance }) {
        super(detail ?? title);
        Object.assign(this, { title, detail, remedy, code, status, instance });
    }

    /** Whether another key would help. */
    get wantsKey() {
        return this.status === 401;
    }
}

export function key() {
    return sessionStorage.getItem(STORED) ?? "";
}

/** Use another key from now on, in this tab alone. */
export function setKey(value) {
    if (value) sessionStorage.setItem(STORED, value);
    else sessionStorage.removeItem(STORED);
    dispatchEvent(new Event("strop-key"));
}

/** Where a path of the API lies; with the key in it for EventSource, which can send no header. */
export function address(path, withKey = false) {
    const url = new URL(path, document.baseURI);
    if (withKey && key()) url.searchParams.set("key", key());
    return url.href;
}

/** Send a request; return the answer's JSON, or the Response itself for `as: "response"`. Throws Problem. */
export async function request(path, { method = "GET", json, body, headers = {}, as = "json" } = {}) {
    const sent = { Accept: "application/json", ...headers };
    if (json !== undefined) sent["Content-Type"] = "application/json";
    if (key()) sent.Authorization = `Bearer ${key()}`;
    let response;
    try {
        response = await fetch(address(path), {
            method,
            headers: sent,
            body: json === undefined ? body : JSON.stringify(json),
            cache: "no-store",
        });
    } catch {
        throw new Problem({
            code: "unreachable",
            title: "The box does not answer",
            detail: `${method} ${path} had no answer.`,
            remedy: "Check its power and the network; this page goes on by itself.",
        });
    }
    if (!response.ok) throw await problemOf(response);
    if (as === "response") return response;
    return response.status === 204 ? null : response.json();
}

async function problemOf(response) {
    const told = await response.json().catch(() => ({}));
    const unknown = { title: `The box answered ${response.status}`, detail: response.statusText };
    return new Problem({ ...unknown, remedy: "Look into the service's log.", ...told, status: response.status });
}
