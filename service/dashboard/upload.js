/** Uploading a data set: the file as it is, streamed by the browser; and those that are there. */

import { request } from "./api.js";
import { byId, make, say, showList } from "./dom.js";
import { acceptFiles } from "./files.js";
import { bytes, clock, counted } from "./format.js";
import { guarded, report } from "./notices.js";
import { changed } from "./refresh.js";

/** Set up the panel. */
export function startUpload() {
    acceptFiles(
        byId("upload-drop"),
        byId("upload-file"),
        guarded(async (files) => {
            for (const file of files) await upload(file);
        }),
    );
}

/** Show the data sets that were uploaded. */
export function showDatasets(datasets) {
    byId("datasets-none").hidden = datasets.length > 0;
    showList(
        byId("datasets"),
        datasets,
        (dataset) => dataset.id,
        ({ id, name, samples, quarantined, shape, classes, created }) => {
            const remove = make("button", {
                type: "button",
                className: "small",
                dataset: { action: "delete" },
                textContent: "Delete",
                ariaLabel: `Delete ${name}`,
                on: {
                    click: guarded(() =>
                        request(`datasets/${id}`, { method: "DELETE" }).then(() => changed("datasets")),
                    ),
                },
            });
            const facts = [counted(samples, "sample"), `${classes.length} classes`, shape.join(" × ")];
            if (quarantined) facts.push(`${quarantined} in quarantine`);
            return make(
                "li",
                {},
                make(
                    "div",
                    { className: "grow" },
                    make("div", { className: "what" }, name),
                    make("div", { className: "muted" }, `${facts.join(", ")} · ${clock(created)}`),
                ),
                make("div", { className: "actions" }, remove),
            );
        },
    );
}

async function upload(file) {
    const format = file.name.split(".").pop().toLowerCase(); // the box says which it takes
    say(byId("upload-state"), `Sending ${file.name}, ${bytes(file.size)} …`);
    try {
        const query = new URLSearchParams({ name: file.name, format });
        const headers = { "Content-Type": "application/octet-stream" };
        const found = await request(`datasets?${query}`, { method: "POST", body: file, headers });
        const quarantined = found.quarantined ? `, ${found.quarantined} in quarantine` : "";
        report(`${found.name} is there`, `${counted(found.samples, "sample")}${quarantined}. The form offers it now.`);
        changed("datasets", "samples");
    } finally {
        say(byId("upload-state"), "");
    }
}
