/** The page: sets the panels up, asks the API at each subject's pace, and hands the answers to those that show them. */

import { request } from "./api.js";
import { showDevice, showReachable } from "./device.js";
import { keepPage } from "./files.js";
import { showJobs, shown, startJobPanel } from "./job.js";
import { startKey } from "./key.js";
import { showUnlabelled, startLabelling } from "./label.js";
import { showModel, startModelPanel } from "./models.js";
import { showQueue } from "./queue.js";
import { changed, poll } from "./refresh.js";
import { showCounts, showQuarantine } from "./samples.js";
import { offerData, offerModels, startForm } from "./start.js";
import { startTryPanel, useModel } from "./try.js";
import { showDatasets, startUpload } from "./upload.js";

const JOBS = 20;
let model = null; // the one that is shown, as GET /models/{name} says

async function loadDevice() {
    const ready = await request("readyz").then(
        () => null,
        (problem) => {
            if (problem.code !== "not_ready") throw problem;
            return problem;
        },
    );
    showDevice(await request("device"), ready);
}

async function loadJobs() {
    const { data } = await request(`jobs?limit=${JOBS}`);
    const wanted =
        shown.chosen && !data.some((job) => job.id === shown.chosen) ? [await request(`jobs/${shown.chosen}`)] : [];
    showQueue(data);
    showJobs([...data, ...wanted]);
}

async function loadModels() {
    const { data } = await request("models");
    const models = await Promise.all(data.map(({ name }) => request(`models/${name}`)));
    if (!models.length) return;
    model = models.find(({ name }) => name === model?.name) ?? models.at(-1); // the first that the box had
    showModel(
        model,
        models.map(({ name }) => name),
    );
    offerModels(models);
    useModel(model);
}

async function loadSamples() {
    await showQuarantine();
    if (model?.versions.length) showUnlabelled(await showCounts(model.name), model.versions[0]);
}

async function loadDatasets() {
    const { data } = await request("datasets?limit=200");
    showDatasets(data);
    offerData(data);
}

startKey();
keepPage();
startJobPanel();
startForm();
startLabelling();
startUpload();
startTryPanel();
startModelPanel((name) => {
    model = { name };
    changed("models", "samples");
});

addEventListener("strop-reachable", ({ detail }) => showReachable(detail));
poll("device", 3, loadDevice);
poll("jobs", 3, loadJobs);
poll("models", 15, async () => {
    const before = model?.name;
    await loadModels();
    if (model?.name !== before) changed("samples");
});
poll("samples", 10, loadSamples);
poll("datasets", 30, loadDatasets);
