// Plots of a batch over time, with uPlot.

import { fill, h } from "./dom.js";
import { latency, money } from "./format.js";

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const PLOTS = [
  { title: "Rows a minute", series: [["succeeded", "good", (p) => (60 * p.succeeded) / p.seconds], ["failed", "bad", (p) => (60 * p.failed) / p.seconds]], write: (v) => Math.round(v) },
  { title: "Latency", series: [["mean", "accent", (p) => p.latency], ["longest", "muted", (p) => p.max_latency]], write: latency },
  { title: "Calls in flight", series: [["in flight", "accent", (p) => p.in_flight], ["limit", "warn", (p) => p.limit]], write: (v) => Math.round(v * 10) / 10 },
  { title: "Cost", series: [["so far", "accent", null]], write: money },
];

/** Make the plots of a batch; `update` gets the points of its series. */
export function plots() {
  const element = h("section", { class: "plots", "aria-label": "Plots" });
  let drawn = [];
  let points = [];

  function draw() {
    for (const plot of drawn) plot.destroy();
    drawn = [];
    element.hidden = points.length < 1;
    fill(element, PLOTS.map((plot) => {
      const box = h("div", { class: "plot" });
      queueMicrotask(() => drawOne(plot, box));
      return h("figure", { "aria-label": plot.title }, h("figcaption", {}, plot.title), box);
    }));
  }

  function drawOne(plot, box) {
    const times = points.map((point) => Date.parse(point.at) / 1000);
    let sum = 0;
    const columns = plot.series.map(([, , value]) => points.map((point) => (value ? value(point) : (sum += point.cost_usd))));
    const axis = { stroke: color("muted"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    drawn.push(new globalThis.uPlot({
      width: Math.max(200, box.clientWidth), height: 130, legend: { show: true, live: true },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: true, range: points.length > 1 ? undefined : [times[0] - 60, times[0] + 60] }, y: { range: (_, low, high) => [0, Math.max(high ?? 0, plot.title === "Cost" ? 1e-9 : 1) * 1.1] } },
      axes: [{ ...axis, size: 26, values: (_, times) => times.map((time) => new Date(time * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })) }, { ...axis, size: 62, values: (_, values) => values.map((value) => plot.write(value)) }],
      series: [{ value: (_, value) => (value ? new Date(value * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }) : "–") },
        ...plot.series.map(([label, name]) => ({ label, stroke: color(name), width: 1.6, points: { show: points.length < 3 }, spanGaps: true, value: (_, value) => (value === null || value === undefined ? "–" : plot.write(value)) }))],
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
    update(changed) {
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
