// One batch: how it stands, how it went, why rows failed, and its results.

import { creates, del, follow, get, post, put } from "../api.js";
import { bar, done, failed, hasEnded, headline, pauseBanner, spent, stateTag, waitsForAccount, when } from "../batch_parts.js";
import { action, actionsHead, ask, field, fill, h, notify, redraws, scroll, select } from "../dom.js";
import { compact, count, duration, money, words } from "../format.js";
import { plots } from "../plots.js";
import { resultsBrowser } from "../results_browser.js";

/** @typedef {import("../api.js").Schemas} Schemas */
/** @typedef {import("../batch_parts.js").Batch} Batch */
/** @typedef {Schemas["BatchProgress"] & Partial<Batch>} Shown */

const MAX_SHOWN_ID = 256; // characters: longer ids are cut to as many (engine/model/failure.py)

/** Show the page; returns what ends it. @param {HTMLElement} main @param {import("../main.js").Session} session @param {string} id */
export function batchPage(main, session, id) {
  const at = { path: { batch_id: id } };
  const maySubmit = session.caller.scopes.includes("submit");
  const head = h("div"), buttons = h("div", { class: "actions" }), facts = h("dl", { class: "facts" });
  const reasons = h("section", { "aria-label": "Why rows failed" }), timeline = h("section", { "aria-label": "Timeline" });
  const drawn = plots(), retrying = creates();
  const browser = resultsBrowser(id);
  const drawButtons = redraws(), drawReasons = redraws();
  /** @type {Batch | null} */
  let batch = null;
  /** @type {Schemas["BatchProgress"]} */
  let progress;
  let ended = false, stop = () => {}, timer = 0, busy = false;

  fill(main, h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Batches"), " / ", h("span", { class: "id" }, id)), head);

  /** Read everything again, at most once at a time. */
  async function load() {
    if (busy || ended) return;
    busy = true;
    try {
      const [found, series, events] = await Promise.all([get("/api/batches/{batch_id}/progress", at), get("/api/batches/{batch_id}/series", at), get("/api/batches/{batch_id}/timeline", at)]);
      if (ended) return;
      progress = found;
      show();
      drawn.update(series.data);
      showTimeline(events.data);
    } catch (error) {
      if (!ended && !progress) fill(head, h("h1", {}, error.status === 404 ? "There is no such batch" : "The batch cannot be read"), h("p", { class: "error" }, error.message));
    } finally {
      busy = false;
    }
  }

  function show() {
    /** @type {Shown} */
    const shown = { ...progress, ...(batch ?? {}), total: progress.total };
    if (!buttons.parentElement) {
      fill(main, main.firstChild, head, buttons, facts, drawn.element, reasons, h("div", { class: "two" }, timeline, snippets(id, session)), browser.element);
    }
    fill(head, h("div", { class: "title" }, h("h1", {}, progress.name ?? id), stateTag(shown)),
      h("p", { class: "headline" }, batch ? headline({ ...batch, ...shown }) : ""), bar(shown),
      progress.paused && !hasEnded(progress) && pauseBanner(progress.paused),
      progress.last_refusal && !hasEnded(progress) && h("div", { class: "banner" }, h("strong", {}, "Rows wait after: "), progress.last_refusal.message));
    showButtons(shown);
    showFacts(shown);
    showReasons();
  }

  /** @param {Shown} shown */
  function showButtons(shown) {
    const running = !hasEnded(progress);
    const isPaused = progress.paused && !waitsForAccount(progress);
    const steer = (/** @type {string} */ label, /** @type {() => unknown} */ run, props = {}) => action(label, async () => {
      await run();
      await load();
    }, props);
    drawButtons([progress.status, isPaused, failed(shown)], () => fill(buttons,
      maySubmit && running && (isPaused ? steer("Resume", () => post("/api/batches/{batch_id}/resume", at), { class: "primary" }) : steer("Pause", () => post("/api/batches/{batch_id}/pause", at))),
      maySubmit && running && steer("Priority", priority), maySubmit && running && steer("Deadline", deadline), maySubmit && running && steer("Budget", budget),
      maySubmit && running && steer("Cancel", cancel, { class: "danger" }),
      maySubmit && !running && failed(shown) > 0 && progress.status === "ended" && action(`Retry ${count(failed(shown))} failed`, () => retry({}), { class: "primary" }),
      maySubmit && !running && action("Delete", remove, { class: "danger" })));
  }

  async function priority() {
    const given = await ask("Priority", [field("Share of the calls of its workspace", select({ name: "priority" }, ["high", "normal", "low"], progress.priority))], "Set");
    if (given) await put("/api/batches/{batch_id}/priority", { ...at, body: { priority: given.priority } });
  }

  async function deadline() {
    const given = await ask("Deadline", [field("Hours from now", h("input", { type: "number", name: "hours", min: 0.1, max: 168, step: "any", value: 24, required: true }), "At most 7 days after the batch was created.")], "Set");
    if (given) await put("/api/batches/{batch_id}/deadline", { ...at, body: { expires_at: new Date(Date.now() + 3_600_000 * Number(given.hours)).toISOString() } });
  }

  async function budget() {
    const given = await ask("Budget", [field("US dollars, or nothing for any amount", h("input", { type: "number", name: "budget", min: 0, step: "any", value: progress.budget_usd ?? "" }), "The batch is paused when its answers have cost as much.")], "Set");
    if (given) await put("/api/batches/{batch_id}/budget", { ...at, body: { budget_usd: given.budget === "" ? null : Number(given.budget) } });
  }

  async function cancel() {
    const sure = await ask("Cancel this batch?", [h("p", {}, `${count(progress.total - done(progress))} requests have not ended. Those that are in flight finish, the others end without a result.`)], "Cancel the batch", { danger: true });
    if (sure) await post("/api/batches/{batch_id}/cancel", at);
  }

  async function remove() {
    const sure = await ask("Delete this batch?", [h("p", {}, "Its requests and results are removed. This cannot be undone.")], "Delete", { danger: true });
    if (!sure) return;
    await del("/api/batches/{batch_id}", at);
    location.hash = "#/";
  }

  /** @param {Schemas["RetryBatch"]} what */
  async function retry(what) {
    const made = await retrying.post(JSON.stringify(what), "/api/batches/{batch_id}/retry", { ...at, body: what });
    notify(`A new batch runs ${count(made.total)} requests again.`);
    location.hash = `#/batch/${encodeURIComponent(made.id)}`;
  }

  /** @param {Shown} shown */
  function showFacts(shown) {
    const tokens = progress.tokens;
    const fact = (/** @type {string} */ name, /** @type {import("../dom.js").Child[]} */ ...value) => value.some((each) => each !== null && each !== undefined && each !== "") && h("div", {}, h("dt", {}, name), h("dd", {}, ...value));
    const limits = progress.concurrency.map((each) => `${each.in_flight} of ${each.limit}${each.limit < each.maximum ? ` (at most ${each.maximum}${each.reason ? `: ${each.reason}` : ""})` : ""}`);
    fill(facts,
      fact("Requests", `${count(done(progress))} of ${count(progress.total)}`), fact("Model", batch?.model ?? (batch ? "several" : "")), fact("Account", batch?.account),
      fact("Cost", `${money(spent(progress))}${progress.budget_usd === null ? "" : ` of ${money(progress.budget_usd)}`}`),
      fact("Tokens", tokens.input || tokens.output ? `${compact(tokens.input)} in, ${compact(tokens.output)} out` : ""),
      fact("Retried calls", progress.retried_calls.map((calls) => `${count(calls.count)} ${words(calls.reason)}`).join(", ")),
      fact("In flight", limits.join(", ")), fact("Lanes", [...new Set(progress.lanes.map((lane) => lane.lane))].join(", ")),
      fact("Priority", progress.priority + (progress.priority_scope === "gateway" ? " beside the batches of all workspaces" : "")), fact("Created", batch && when(batch.created_at)),
      fact(hasEnded(progress) ? "Ended" : "Expires", batch && when((hasEnded(progress) && batch.ended_at) || batch.expires_at)),
      fact("Retries", progress.parent && h("a", { href: `#/batch/${encodeURIComponent(progress.parent)}` }, progress.parent)),
      ...Object.entries(progress.metadata ?? {}).map(([name, value]) => fact(name, value)));
  }

  function showReasons() {
    reasons.hidden = !progress.failures.length;
    if (reasons.hidden) return;
    drawReasons([progress.failures, progress.status], () => fill(reasons, h("h2", {}, "Why rows failed"), scroll("Table of reasons", h("table", { class: "reasons" },
      h("thead", {}, h("tr", {}, h("th", { class: "number", scope: "col" }, "Rows"), h("th", { scope: "col" }, "Reason"), actionsHead())),
      h("tbody", {}, progress.failures.map((group) => h("tr", {},
        h("td", { class: "number" }, count(group.count)),
        h("td", { class: "text" }, h("strong", {}, words(group.kind)), " ", group.message ?? "other messages",
          group.example && group.example !== group.message && h("details", {}, h("summary", {}, "An example"), h("pre", { tabindex: 0 }, group.example)),
          h("small", { class: "muted" }, group.custom_ids.join(", "), group.count > group.custom_ids.length ? ", …" : "")),
        h("td", { class: "actions" },
          h("button", { type: "button", "aria-label": `Show rows: ${words(group.kind)}`, onclick: () => browser.show({ outcome: group.kind === "expired" || group.kind === "canceled" ? group.kind : "errored", q: "" }) }, "Show"),
          maySubmit && progress.status === "ended" && retryButton(group)))))))));
  }

  /** Retry the rows of a group: by their kind if no other group has it, or by their ids if all are known, none of them cut; otherwise say what else is retried. @param {Schemas["FailureGroup"]} group */
  function retryButton(group) {
    const same = progress.failures.filter((each) => each.kind === group.kind);
    const only = /** @type {Schemas["RetryBatch"]} */ ({ only: [group.kind] });
    if (same.length === 1) return action("Retry these", () => retry(only));
    const areWhole = group.custom_ids.every((id) => id.length < MAX_SHOWN_ID);
    if (areWhole && group.count === group.custom_ids.length) return action("Retry these", () => retry({ custom_ids: group.custom_ids }));
    const total = same.reduce((sum, each) => sum + each.count, 0);
    return action(`Retry all ${count(total)} ${words(group.kind)}`, () => retry(only));
  }

  /** @param {Schemas["TimelineEntry"][]} events */
  function showTimeline(events) {
    const created = batch ? [{ at: batch.created_at, action: "created", by: null, detail: null }] : [];
    const end = batch?.ended_at ? [{ at: batch.ended_at, action: batch.status, by: null, detail: `after ${duration((Date.parse(batch.ended_at) - Date.parse(batch.created_at)) / 1000)}` }] : [];
    const entries = [...created, ...events, ...end];
    fill(timeline, h("h2", {}, "Timeline"), h("ol", { class: "timeline" }, entries.map((entry) => h("li", {}, when(entry.at), " ", h("strong", {}, words(entry.action)), entry.by && ` by ${entry.by}`, entry.detail && h("span", { class: "muted" }, ` ${entry.detail}`)))));
  }

  const changed = (/** @type {Batch} */ summary) => {
    const before = batch;
    batch = summary;
    if (progress) {
      Object.assign(progress, { status: summary.status, paused: summary.paused, spent: summary.spent });
      for (const name of /** @type {const} */ (["total", "succeeded", "errored", "canceled", "expired"])) progress[name] = summary[name];
      show();
    }
    clearTimeout(timer);
    timer = setTimeout(async () => {
      await load();
      if (before && done(before) !== done(summary)) browser.refresh();
    }, before ? 1500 : 0);
    if (hasEnded(summary)) stop();
  };
  stop = follow("/api/batches/{batch_id}/events", at, { status: changed, progress: changed, action: () => load() });
  load();
  return () => {
    ended = true;
    stop();
    clearTimeout(timer);
    drawn.end();
  };
}

/** Show how a program reads the batch. @param {string} id @param {import("../main.js").Session} session */
function snippets(id, session) {
  const origin = document.baseURI.replace(/#.*$/, "").replace(/\/$/, "");
  const key = session.needs_key;
  /** @type {Record<string, string>} */
  const texts = {
    curl: `curl -o results.jsonl ${key ? "-H \"x-api-key: $BATCHGATE_API_KEY\" " : ""}${origin}/api/batches/${id}/results`,
    Python: `import json\nimport urllib.request\n\nurl = "${origin}/api/batches/${id}/results"\nheaders = ${key ? '{"x-api-key": "YOUR KEY"}' : "{}"}\nwith urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as lines:\n    for line in lines:\n        print(json.loads(line)["custom_id"])`,
    CLI: `export BATCHGATE_URL=${origin}${key ? "\nexport BATCHGATE_API_KEY=..." : ""}\nbatchgate show ${id}\nbatchgate results ${id} > results.jsonl`,
  };
  const shown = h("pre", { tabindex: 0 }, texts.curl);
  let chosen = "curl";
  const tabs = Object.keys(texts).map((name) => h("button", { type: "button", "aria-pressed": String(name === chosen), onclick: () => {
    chosen = name;
    shown.textContent = texts[name];
    tabs.forEach((tab) => tab.setAttribute("aria-pressed", String(tab.textContent === name)));
  } }, name));
  const copy = action("Copy", async () => {
    await navigator.clipboard.writeText(texts[chosen]);
    notify("Copied");
  });
  return h("section", { "aria-label": "From a program" }, h("h2", {}, "From a program"), h("div", { class: "actions" }, tabs, copy), shown);
}
