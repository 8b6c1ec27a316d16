/** Files by drag and drop, or by a file field: the field is what the keyboard uses. */

import { Problem } from "./api.js";
import { tell } from "./notices.js";

/** Call `take(files)` with what is dropped on `zone`, or chosen in `field`. */
export function acceptFiles(zone, field, take) {
    field.addEventListener("change", () => {
        if (field.files.length) take([...field.files]);
        field.value = ""; // so that the same file can be chosen again
    });
    for (const type of ["dragenter", "dragover"]) {
        zone.addEventListener(type, (event) => {
            event.preventDefault();
            zone.classList.add("over");
        });
    }
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
        event.preventDefault();
        zone.classList.remove("over");
        const files = [...event.dataTransfer.files];
        if (files.length) take(files);
        else
            tell(
                new Problem({
                    title: "Nothing was taken",
                    detail: "What was dropped is no file.",
                    remedy: "Drop a file.",
                }),
            );
    });
}

/** A file that misses its place must not replace the page. */
export function keepPage() {
    for (const type of ["dragover", "drop"]) addEventListener(type, (event) => event.preventDefault());
}
