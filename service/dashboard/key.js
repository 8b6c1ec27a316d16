/** The key of this tab, for boxes that need one. It is forgotten when the tab is closed. */

import { key, setKey } from "./api.js";
import { byId } from "./dom.js";

/** Set up the dialog. */
export function startKey() {
    const dialog = byId("key-dialog");
    const open = () => {
        if (document.querySelector("dialog[open]")) return;
        byId("key").value = key();
        dialog.showModal();
    };
    byId("key-open").addEventListener("click", open);
    addEventListener("strop-key-wanted", open);
    byId("key-cancel").addEventListener("click", () => dialog.close());
    byId("key-form").addEventListener("submit", (event) => {
        event.preventDefault();
        dialog.close();
        setKey(byId("key").value.trim());
        byId("notices").replaceChildren();
    });
    const mark = () => byId("key-open").classList.toggle("set", Boolean(key()));
    addEventListener("strop-key", mark);
    mark();
}
