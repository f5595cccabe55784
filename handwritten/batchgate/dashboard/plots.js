// Plots of a batch over time, with uPlot.

import { fill, h } from "./dom.js";
import { latency, money } from "./format.js";

/** @typedef {import("./api.js").Schemas["BatchSeriesPoint"]} Point */

const color = (/** @type {string} */ name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** @typedef {{ title: string, series: [string, string, ((point: Point) => number | null) | null][], write: (value: number) => string | number }} Plot */

const clock = (/** @type {number} */ seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

/** @type {Plot[]} */
const PLOTS = [
  { title: "Rows a minute", series: [["succeeded", "good", (p) => (60 * p.succeeded) / p.seconds], ["failed", "bad", (p) => (60 * p.failed) / p.seconds]], write: (v) => Math.round(v) },
  { title: "Latency", series: [["mean", "accent", (p) => p.latency], ["longest", "muted", (p) => p.max_latency]], write: latency },
  { title: "Calls in flight", series: [["in flight", "accent", (p) => p.in_flight], ["limit", "warn", (p) => p.limit]], write: (v) => Math.round(v * 10) / 10 },
  { title: "Cost", series: [["so far", "accent", null]], write: money },
];

/** Make the plots of a batch; `update` gets the points of its series. */
export function plots() {
  const element = h("section", { class: "plots", "aria-label": "Plots" });
  /** @type {any[]} */
  let drawn = [];
  /** @type {Point[]} */
  let points = [];

  function draw() {
    for (const plot of drawn) plot.destroy();
    drawn = [];
    element.hidden = points.length < 1;
    fill(element, PLOTS.map((plot) => {
      const box = h("div", { class: "plot" });
      const figure = h("figure", {}, h("figcaption", {}, plot.title), box);
      queueMicrotask(() => drawOne(plot, figure, box));
      return figure;
    }));
  }

  /** @param {Plot} plot @param {HTMLElement} figure @param {HTMLElement} box */
  function drawOne(plot, figure, box) {
    const times = points.map((point) => Date.parse(point.at) / 1000);
    let sum = 0;
    const columns = plot.series.map(([, , value]) => points.map((point) => (value ? value(point) : (sum += point.cost_usd))));
    const written = (/** @type {number | null | undefined} */ value) => (value === null || value === undefined ? "–" : plot.write(value));
    figure.setAttribute("aria-label", `${plot.title}, at last: ${plot.series.map(([label], index) => `${label} ${written(columns[index].at(-1))}`).join(", ")}`);
    const axis = { stroke: color("muted"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    drawn.push(new (/** @type {any} */ (globalThis)).uPlot({
      width: Math.max(200, box.clientWidth), height: 130, legend: { show: true, live: true },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: true, range: points.length > 1 ? undefined : [times[0] - 60, times[0] + 60] }, y: { range: (/** @type {unknown} */ _, /** @type {unknown} */ low, /** @type {number | null} */ high) => [0, Math.max(high ?? 0, plot.title === "Cost" ? 1e-9 : 1) * 1.1] } },
      axes: [{ ...axis, size: 26, values: (/** @type {unknown} */ _, /** @type {number[]} */ marks) => marks.map(clock) }, { ...axis, size: 62, values: (/** @type {unknown} */ _, /** @type {number[]} */ marks) => marks.map((mark) => plot.write(mark)) }],
      series: [{ value: (/** @type {unknown} */ _, /** @type {number | null} */ value) => (value ? clock(value) : "–") },
        ...plot.series.map(([label, name]) => ({ label, stroke: color(name), width: 1.6, points: { show: points.length < 3 }, spanGaps: true, value: (/** @type {unknown} */ _, /** @type {number | null} */ value) => written(value) }))],
    }, [times, ...columns], box));
  }

  const resize = new ResizeObserver(() => drawn.forEach((plot) => {
    const width = plot.root.parentElement.clientWidth;
    if (Math.abs(width - plot.width) > 4) plot.setSize({ width, height: 130 });
  }));
  resize.observe(element);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", draw);
  return {
    element,
    update(/** @type {Point[]} */ changed) {
      points = changed;
      draw();
    },
    end() {
      resize.disconnect();
      scheme.removeEventListener("change", draw);
      for (const plot of drawn) plot.destroy();
    },
  };
}
