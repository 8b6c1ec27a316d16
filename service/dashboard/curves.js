/** The points of a job's curves, from its events. */

const SPAN = 0.01; // of the job's steps: over so many the smoothed curve looks back, for one mini-batch says little

/**
 * Loss, accuracy and validation by step. A job that went on from a checkpoint repeats some steps, with the same values,
 * for training is exact: a point stands at its step once.
 */
export class Curves {
    constructor() {
        this.points = []; // {step, loss, accuracy, validation}, by step
        this.epochs = new Map(); // steps of each epoch
        this.events = 0; // progress events that were added
        this.steps = 1; // of the whole job
    }

    addProgress({ step, steps, loss, accuracy }) {
        this.events += 1;
        this.steps = steps;
        Object.assign(this.#at(step), { loss, accuracy });
    }

    addEpoch({ epoch, steps, validation_accuracy: validation }) {
        this.epochs.set(epoch, steps);
        let step = 0;
        for (const [number, count] of this.epochs) if (number <= epoch) step += count;
        if (validation !== null && validation !== undefined) this.#at(step).validation = validation;
    }

    /** Columns for the loss chart: step, each mini-batch, smoothed. */
    lossColumns() {
        return this.#columns("loss");
    }

    /** Columns for the accuracy chart: step, each mini-batch, smoothed, validation; in percent. */
    accuracyColumns() {
        const [steps, raw, smooth] = this.#columns("accuracy", 100);
        return [steps, raw, smooth, this.points.map((point) => (point.validation ?? null) && 100 * point.validation)];
    }

    #columns(name, scale = 1) {
        const steps = this.points.map((point) => point.step);
        const raw = this.points.map((point) => (point[name] === undefined ? null : scale * point[name]));
        let [mean, last] = [null, 0];
        const smooth = raw.map((value, index) => {
            if (value === null) return null;
            const weight = 1 - Math.exp((last - steps[index]) / (SPAN * this.steps));
            mean = mean === null ? value : mean + weight * (value - mean);
            last = steps[index];
            return mean;
        });
        return [steps, raw, smooth];
    }

    #at(step) {
        const { points } = this;
        let place = points.length;
        while (place > 0 && points[place - 1].step > step) place -= 1;
        if (place > 0 && points[place - 1].step === step) return points[place - 1];
        const point = { step };
        points.splice(place, 0, point);
        return point;
    }
}
