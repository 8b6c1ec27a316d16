/** Elements from words. Strings become text nodes, never markup: what the API says cannot become part of the page. */

/** Return an element: properties (or attributes), listeners under `on`, and children. */
export function make(tag, options = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(options)) {
        if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
        else if (name === "dataset") Object.assign(node.dataset, value);
        else if (name in node) node[name] = value;
        else if (value !== null) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
    return node;
}

export function byId(id) {
    return document.getElementById(id);
}

/** Write a text, unless it stands there: screen readers announce a live region whenever it is touched. */
export function say(node, text) {
    if (node.textContent !== text) node.textContent = text;
}

/** Let `container` show a row for each item. Rows whose item is the same stay, and with them focus and selection. */
export function showList(container, items, idOf, row) {
    const known = new Map([...container.children].map((node) => [node.dataset.item, node]));
    items.forEach((item, index) => {
        const id = String(idOf(item));
        const signature = JSON.stringify(item);
        let node = known.get(id);
        known.delete(id);
        if (!node || node.signature !== signature) {
            const fresh = row(item);
            fresh.dataset.item = id;
            fresh.signature = signature;
            if (node) replace(node, fresh);
            node = fresh;
        }
        if (container.children[index] !== node) container.insertBefore(node, container.children[index] ?? null);
    });
    for (const gone of known.values()) gone.remove();
}

function replace(node, fresh) {
    const focused = node.contains(document.activeElement) ? document.activeElement.dataset.action : undefined;
    node.replaceWith(fresh);
    if (focused) fresh.querySelector(`[data-action="${CSS.escape(focused)}"]`)?.focus();
}

/** Let a select offer groups {label: [[value, text], ...]}; what is chosen stays chosen if it is still there. */
export function offer(select, groups) {
    const signature = JSON.stringify(groups);
    if (select.signature === signature) return;
    const chosen = select.value;
    select.signature = signature;
    const options = (pairs) => pairs.map(([value, text]) => make("option", { value }, text));
    select.replaceChildren(
        ...Object.entries(groups).flatMap(([label, pairs]) =>
            label ? make("optgroup", { label }, ...options(pairs)) : options(pairs),
        ),
    );
    if ([...select.options].some(({ value }) => value === chosen)) select.value = chosen;
}
