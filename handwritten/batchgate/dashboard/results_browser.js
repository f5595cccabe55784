// The table of the requests of a batch beside their answers, a page at a time.

import { address, get } from "./api.js";
import { action, fill, h, notify, save, scroll, select } from "./dom.js";
import { count, words } from "./format.js";
import { answer, prompt, system } from "./row_texts.js";

const OUTCOMES = [["", "all rows"], ["succeeded", "succeeded"], ["failed", "failed"], ["errored", "errored"], ["expired", "expired"], ["canceled", "canceled"], ["pending", "not ended"]];
const PAGE = 50;
const WHOLE = 10_000_000;

/** @typedef {import("./api.js").Schemas["BatchRow"]} Row */
/** @typedef {NonNullable<import("./api.js").Paths["/api/batches/{batch_id}/rows"]["get"]["parameters"]["query"]>} Asked */
/** @typedef {{ outcome: Asked["outcome"] | "", q: NonNullable<Asked["q"]> }} Filters */

/** Make the browser of a batch; `show` filters by an outcome or a text from outside. @param {string} batchId */
export function resultsBrowser(batchId) {
  const path = { batch_id: batchId };
  /** @type {Filters} */
  const filters = { outcome: "", q: "" };
  /** @type {(string | null)[]} */
  let trail = [""];
  /** @type {string | null} */
  let next = null;
  let serial = 0;
  const body = h("tbody");
  const place = h("span", { class: "muted", "aria-live": "polite" });
  const back = action("Previous", () => turn(-1));
  const forward = action("Next", () => turn(1));
  const search = h("input", { type: "search", placeholder: "Search prompts and answers", "aria-label": "Search prompts and answers" });
  const outcome = select({ "aria-label": "Outcome", onchange: () => restart({ outcome: /** @type {Filters["outcome"]} */ (outcome.value) }) }, OUTCOMES, "");
  let timer = 0;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => restart({ q: search.value }), 350);
  });

  const element = h("section", { "aria-label": "Results" },
    h("div", { class: "title" }, h("h2", {}, "Results"),
      h("div", { class: "actions" },
        h("a", { class: "button", href: address("/api/batches/{batch_id}/results", { path }), download: `${batchId}.jsonl` }, "JSONL"),
        action("CSV", () => download("csv")), action("Failed only", () => download("failed")))),
    h("form", { class: "filters", role: "search", onsubmit: (/** @type {Event} */ event) => event.preventDefault() }, search, outcome),
    scroll("Rows", h("table", { class: "rows" }, h("thead", {}, h("tr", {},
      ...["#", "Prompt", "Answer", "Outcome"].map((text, index) => h("th", { scope: "col", class: index === 0 ? "number" : "" }, text)))), body)),
    h("div", { class: "pager" }, back, place, forward));

  /** @param {string | null} after @param {number} limit @param {Filters} filters @param {number} [max_text] */
  const read = (after, limit, { outcome, q }, max_text) => get("/api/batches/{batch_id}/rows", { path, query: { outcome, q, after, limit, max_text } });

  /** @param {Partial<Filters>} changed */
  function restart(changed) {
    Object.assign(filters, changed);
    trail = [""];
    return load();
  }

  /** @param {1 | -1} step */
  function turn(step) {
    if (step > 0) trail.push(next); else trail.pop();
    return load();
  }

  /** Load the page at the end of the trail; a page that found little goes on by itself. */
  async function load() {
    const mine = ++serial;
    /** @type {Row[]} */
    const rows = [];
    let after = trail.at(-1) ?? null;
    place.textContent = "…";
    try {
      for (let tries = 0; tries < 200; tries++) {
        const page = await read(after, PAGE - rows.length, filters);
        if (mine !== serial) return;
        rows.push(...page.data);
        after = page.next;
        if (after === null || rows.length >= PAGE) break;
        if (page.data.length) fill(body, rows.map(rowOf));
        place.textContent = rows.length ? `${count(rows.length)} found, searching…` : "searching…";
      }
      fill(body, rows.length ? rows.map(rowOf) : h("tr", {}, h("td", { colspan: 4, class: "muted" }, filters.q || filters.outcome ? "No row matches." : "There are no rows.")));
    } catch (error) {
      if (mine === serial) {
        place.textContent = "";
        fill(body, h("tr", {}, h("td", { colspan: 4, class: "muted" }, error.message)));
      }
      return;
    }
    next = after;
    const focused = document.activeElement;
    back.disabled = trail.length === 1;
    forward.disabled = next === null;
    if (focused === back && back.disabled) forward.focus();
    else if (focused === forward && forward.disabled) back.focus();
    place.textContent = rows.length ? `${count(rows[0].number)} to ${count(rows[rows.length - 1].number)}` : "";
  }

  /** @param {Row} row */
  function rowOf(row) {
    const detail = h("tr", { class: "detail", hidden: true });
    const open = h("button", { type: "button", class: "link", "aria-expanded": "false", "aria-label": `Row ${row.number} in full` }, count(row.number));
    open.addEventListener("click", async () => {
      const isOpen = !detail.hidden;
      detail.hidden = isOpen;
      open.setAttribute("aria-expanded", String(!isOpen));
      if (!isOpen && !detail.firstChild) await fillDetail(detail, row);
    });
    const tone = row.outcome === "succeeded" ? "good" : row.outcome === "pending" ? "off" : "bad";
    return [h("tr", {}, h("td", { class: "number" }, open, h("small", { class: "id" }, row.custom_id)),
      h("td", { class: "text" }, h("div", { class: "clip" }, prompt(row.request))),
      h("td", { class: "text" }, h("div", { class: "clip" }, answer(row.result) || (row.outcome === "pending" ? "" : "–"))),
      h("td", {}, h("span", { class: `tag ${tone}` }, row.failure && row.failure !== row.outcome ? words(row.failure) : row.outcome === "pending" ? "not ended" : row.outcome))), detail];
  }

  /** @param {HTMLElement} detail @param {Row} row */
  async function fillDetail(detail, row) {
    let whole = row;
    if (row.is_cut) {
      try {
        whole = await findWhole(row);
      } catch (error) {
        notify(error.message, "error");
      }
    }
    const pane = (/** @type {string} */ title, /** @type {string} */ text) => text && h("div", { class: "pane" }, h("h3", {}, title), h("pre", { tabindex: 0 }, text));
    fill(detail, h("td", { colspan: 4 },
      h("div", { class: "panes" }, pane("System", system(whole.request)), pane("Prompt", prompt(whole.request)), pane("Answer", answer(whole.result))),
      h("details", {}, h("summary", {}, "Lines of the batch"),
        h("div", { class: "panes" }, pane("Request", JSON.stringify(whole.request, null, 2)), whole.result && pane("Result", JSON.stringify(whole.result, null, 2))))));
  }

  /** Read a page again whose texts were cut, for one of its rows. @param {Row} row */
  async function findWhole(row) {
    let after = trail.at(-1) ?? null;
    while (after !== null) {
      const page = await read(after, PAGE, filters, WHOLE);
      const found = page.data.find((each) => each.number === row.number);
      if (found) return found;
      after = page.next;
    }
    return row;
  }

  /** Save rows as CSV, or the results of those that failed as JSONL. @param {"csv" | "failed"} kind */
  async function download(kind) {
    const parts = kind === "csv" ? ["\ufeffcustom_id,outcome,failure,prompt,answer,cost_usd\r\n"] : [];
    /** @type {string | null} */
    let after = "";
    let rows = 0;
    do {
      const page = await read(after, 500, { outcome: kind === "failed" ? "failed" : "", q: "" }, WHOLE);
      for (const row of page.data) {
        if (kind === "csv") parts.push(`${[row.custom_id, row.outcome, row.failure ?? "", prompt(row.request), answer(row.result), String(row.result?.cost_usd ?? "")].map(csvField).join(",")}\r\n`);
        else parts.push(`${JSON.stringify({ request: row.request, result: row.result })}\n`);
      }
      rows += page.data.length;
      place.textContent = `${count(rows)} rows read`;
      after = page.next;
    } while (after !== null);
    place.textContent = "";
    save(parts, kind === "csv" ? `${batchId}.csv` : `${batchId}-failed.jsonl`, kind === "csv" ? "text/csv" : "application/jsonl");
  }

  load();
  return {
    element,
    show(/** @type {Filters} */ changed) {
      outcome.value = changed.outcome ?? "";
      search.value = changed.q;
      element.scrollIntoView({ behavior: "smooth" });
      return restart(changed);
    },
    /** Load the first page again when the batch has more results. */
    refresh() {
      if (trail.length === 1 && !filters.q && !body.querySelector("[aria-expanded=true]")) load();
    },
  };
}

/** Write a field of a CSV file; a text that a spreadsheet would take for a formula gets an apostrophe. @param {string} text */
export function csvField(text) {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
