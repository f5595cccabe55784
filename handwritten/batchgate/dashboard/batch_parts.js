// The parts that show a batch: its bar, its state in a few words, and what is expected of it.

import { h } from "./dom.js";
import { ago, count, duration, fullTime, money, percent, rate, time, words } from "./format.js";

/** @typedef {import("./api.js").Schemas} Schemas */
/** @typedef {Schemas["BatchSummary"]} Batch */
/** @typedef {Pick<Batch, "total" | "succeeded" | "errored" | "expired" | "canceled">} Counts */

const ENDED = new Set(["ended", "failed"]);

/** @param {Pick<Batch, "status">} batch */
export const hasEnded = (batch) => ENDED.has(batch.status);
/** @param {Counts} batch */
export const failed = (batch) => batch.errored + batch.expired + batch.canceled;
/** @param {Counts} batch */
export const done = (batch) => batch.succeeded + failed(batch);
/** @param {Pick<Batch, "spent">} batch */
export const spent = (batch) => batch.spent.direct_usd + batch.spent.native_usd;

/** Make a bar of how the requests ended. @param {Counts} batch */
export function bar(batch) {
  const total = Math.max(1, batch.total);
  /** @type {[string, number][]} */
  const parts = [["succeeded", batch.succeeded], ["errored", batch.errored], ["expired", batch.expired], ["canceled", batch.canceled]];
  const label = parts.filter(([, number]) => number).map(([name, number]) => `${count(number)} ${name}`).join(", ") || "nothing yet";
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 8");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  let x = 0;
  for (const [name, number] of parts) {
    const width = (100 * number) / total;
    if (!width) continue;
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [key, value] of Object.entries({ x, y: 0, width, height: 8, class: name })) rect.setAttribute(key, String(value));
    svg.append(rect);
    x += width;
  }
  const box = h("div", { class: "bar", role: "img", "aria-label": `${label} of ${count(batch.total)}`, title: `${label} of ${count(batch.total)}` });
  box.append(svg);
  return box;
}

/** Say the state of a batch in one or two words, with its tone. @param {Counts & Pick<Batch, "status" | "paused">} batch */
export function state(batch) {
  if (batch.paused && !hasEnded(batch)) return ["paused", "warn"];
  if (batch.status === "failed") return ["not valid", "bad"];
  if (batch.status !== "ended") return [batch.status === "in_progress" ? "running" : batch.status, "live"];
  if (batch.canceled) return ["canceled", "off"];
  if (batch.expired) return ["expired", "bad"];
  if (batch.errored) return [batch.succeeded ? "some failed" : "failed", "bad"];
  return ["done", "good"];
}

/** @param {Counts & Pick<Batch, "status" | "paused">} batch */
export function stateTag(batch) {
  const [text, tone] = state(batch);
  return h("span", { class: `tag ${tone}` }, text);
}

/** Say when the batch will end. @param {Pick<Batch, "status" | "forecast">} batch */
export function eta(batch) {
  if (hasEnded(batch) || !batch.forecast?.ends_at) return "";
  const left = (Date.parse(batch.forecast.ends_at) - Date.now()) / 1000;
  return left > 0 ? duration(left) : "soon";
}

/** @param {Pick<Batch, "forecast">} batch */
export const speed = (batch) => (batch.forecast?.requests_per_second ? rate(batch.forecast.requests_per_second) : "");

/** Say in one sentence how it stands with a batch. @param {Batch} batch */
export function headline(batch) {
  const share = percent(done(batch), batch.total);
  const bad = failed(batch);
  if (batch.status === "validating") return "Its file is being validated.";
  if (batch.status === "failed") return "Its file has faults, so nothing was sent.";
  if (batch.paused && !hasEnded(batch)) return `Paused at ${share}: ${batch.paused.reason}`;
  if (batch.status === "canceling") return `Canceling: requests in flight finish. ${count(done(batch))} of ${count(batch.total)} have ended.`;
  if (!hasEnded(batch)) {
    const left = eta(batch);
    const parts = [`${share} done`, speed(batch) && `at ${speed(batch)}`, left && `${left} left`].filter(Boolean);
    if (bad) parts.push(`${count(bad)} failed`);
    if (batch.forecast?.unfinished_at_expiry) parts.push(`${count(batch.forecast.unfinished_at_expiry)} will not be done when it expires`);
    return `${parts.join(", ")}.`;
  }
  const took = duration((Date.parse(batch.ended_at ?? "") - Date.parse(batch.created_at)) / 1000);
  if (!bad) return `All ${count(batch.total)} requests succeeded in ${took}${spent(batch) ? ` for ${money(spent(batch))}` : ""}.`;
  return `${count(batch.succeeded)} of ${count(batch.total)} requests succeeded in ${took}; ${count(bad)} did not.`;
}

/** @param {string} text */
export const when = (text) => h("time", { datetime: text, title: fullTime(text) }, time(text));
/** @param {string} text */
export const age = (text) => h("time", { datetime: text, title: fullTime(text) }, ago(text));

/** Whether a batch waits for its account, which no caller paused; only such a pause says nothing of native jobs. @param {Pick<Batch, "paused">} batch */
export const waitsForAccount = (batch) => batch.paused !== null && batch.paused.native_jobs === null;

/** Make the banner of a pause. @param {Schemas["BatchPause"]} pause */
export function pauseBanner(pause) {
  return h("div", { class: "banner warn", role: "status" },
    h("strong", {}, words(pause.code)), ": ", h("span", {}, pause.reason), " ",
    h("span", { class: "muted" }, "since ", when(pause.since), pause.by && ` by ${pause.by}`));
}
