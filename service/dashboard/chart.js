/** One chart over the steps of a job: uPlot in the page's colours, as wide as its place and never higher. */

const HEIGHT = 210;
const { uPlot } = globalThis;

/** A chart in `figure`, which has a .plot and a .reading. `lines` are {label, color, faint?, dots?}. */
export class Chart {
    constructor(figure, { name, unit, digits, lines, range }) {
        Object.assign(this, { figure, name, unit, digits, lines, range });
        this.place = figure.querySelector(".plot");
        this.reading = figure.querySelector(".reading");
        this.columns = [[], ...lines.map(() => [])];
        this.steps = 1;
        this.#build();
        new ResizeObserver(() => this.plot.setSize({ width: this.#width(), height: HEIGHT })).observe(this.place);
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
            this.plot.destroy();
            this.#build();
        });
    }

    /** Draw these columns: steps (of so many in all), then one a line. */
    show(columns, steps) {
        this.columns = columns;
        this.steps = steps;
        this.plot.setData(columns);
        this.#read(null);
    }

    /** Tell who cannot see it. */
    describe() {
        const words = this.#words(this.#last());
        this.place.setAttribute("aria-label", `${this.name} by step. ${words ? `Last: ${words}` : "No points yet."}`);
    }

    #build() {
        const style = getComputedStyle(document.documentElement);
        const color = (name) => style.getPropertyValue(`--${name}`).trim();
        const axis = {
            stroke: color("muted"),
            font: `12px ${color("font")}`,
            grid: { stroke: color("line"), width: 1 },
            ticks: { show: false },
        };
        const series = this.lines.map((line) => ({
            label: line.label,
            stroke: color(line.color),
            width: line.dots ? 0 : line.faint ? 1 : 2,
            alpha: line.faint ? 0.35 : 1,
            points: line.dots
                ? { show: true, size: 6, fill: color(line.color) }
                : {
                      show: (plot, index, first, last) => !line.faint && last - first < 12,
                      size: 5,
                      fill: color(line.color),
                  },
            spanGaps: true,
        }));
        this.plot = new uPlot(
            {
                width: this.#width(),
                height: HEIGHT,
                legend: { show: false },
                cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
                scales: { x: { time: false, range: () => [0, Math.max(1, this.steps)] }, y: { range: this.range } },
                axes: [
                    {
                        ...axis,
                        size: 28,
                        gap: 4,
                        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5],
                    },
                    {
                        ...axis,
                        size: 44,
                        gap: 6,
                        values: (plot, values) => values.map((value) => `${value}${this.unit}`),
                    },
                ],
                series: [{}, ...series],
                hooks: { setCursor: [(plot) => this.#read(plot.cursor.idx)] },
            },
            this.columns,
            this.place,
        );
    }

    #width() {
        return Math.max(200, this.place.clientWidth);
    }

    #read(index) {
        this.reading.textContent = this.#words(index ?? this.#last());
    }

    /** The last point of the first line: what stands beyond it is a validation alone. */
    #last() {
        return this.columns[1].findLastIndex((value) => value !== null);
    }

    #words(index) {
        const step = this.columns[0][index];
        if (step === undefined) return "";
        const values = this.lines.map((line, number) => {
            const value = this.columns[number + 1][index];
            const name = line.faint ? "" : `${line.label} `;
            return value === null || value === undefined ? "" : `${name}${value.toFixed(this.digits)}${this.unit}`;
        });
        return [`step ${step}`, ...values.filter(Boolean)].join(" · ");
    }
}
