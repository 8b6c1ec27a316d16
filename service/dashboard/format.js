/** Numbers and times as people read them. */

const NONE = "–";

/** A share of 0 to 1 as "72.5 %". */
export function percent(share, digits = 1) {
    return share === null || share === undefined ? NONE : `${(100 * share).toFixed(digits)}\u00a0%`;
}

export function number(value, digits = 0) {
    if (value === null || value === undefined) return NONE;
    return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Seconds as "4.2 s", "3 min 05 s", "2 h 10 min". */
export function duration(seconds) {
    if (seconds === null || seconds === undefined) return NONE;
    if (seconds < 0.0995) return `${(1000 * seconds).toFixed(seconds < 0.00995 ? 1 : 0)} ms`;
    if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    const two = (value) => String(value).padStart(2, "0");
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
    return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

export function bytes(count) {
    const units = ["B", "KiB", "MiB", "GiB"];
    let unit = 0;
    for (; count >= 1024 && unit < units.length - 1; unit += 1) count /= 1024;
    return `${count.toFixed(unit && count < 100 ? 1 : 0)} ${units[unit]}`;
}

/** A time of the API on this reader's clock: "14:03:21", with the date where it is another day. */
export function clock(text) {
    if (!text) return NONE;
    const at = new Date(text);
    const time = at.toLocaleTimeString("en-GB");
    return at.toDateString() === new Date().toDateString() ? time : `${at.toISOString().slice(0, 10)} ${time}`;
}

/** Seconds between two times of the API; from the first until now if there is no second. */
export function between(start, end) {
    return (end ? new Date(end) : new Date()) / 1000 - new Date(start) / 1000;
}

/** Enough of an id to tell it from its neighbours: those of one minute begin alike. */
export function short(id) {
    return id.length > 12 ? `…${id.slice(-6)}` : id;
}

/** A count with its noun: "1 job", "2 jobs". */
export function counted(count, noun) {
    return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}
