// The list of batches, kept up to date by events.

import { follow, get, post } from "../api.js";
import { age, bar, done, eta, hasEnded, headline, pauseBanner, spent, speed, state, stateTag, waitsForAccount } from "../batch_parts.js";
import { action, ask, fill, h, notify, redraws, scroll, select, setText } from "../dom.js";
import { compact, money, words } from "../format.js";

const PAGE = 50;
const STATUSES = [["", "any status"], ["in_progress", "running"], ["validating", "validating"], ["canceling", "canceling"], ["ended", "ended"], ["failed", "not valid"]];

/** @typedef {import("../batch_parts.js").Batch} Batch */
/** @typedef {NonNullable<import("../api.js").Paths["/api/batches"]["get"]["parameters"]["query"]>} Asked */
/** @typedef {{ [N in "name" | "status" | "model" | "account"]: Asked[N] | "" }} Filters */

/** Show the page; returns what ends it. @param {HTMLElement} main @param {import("../main.js").Session} session */
export function batchesPage(main, session) {
  /** @type {Filters} */
  const filters = { name: "", status: "", model: "", account: "" };
  /** @type {Map<string, ReturnType<typeof batchRow>>} */
  const rows = new Map();
  /** @type {Set<string>} */
  const chosen = new Set();
  const drawBulk = redraws(), drawBanners = redraws();
  /** @type {string | null} */
  let next = null;
  let serial = 0;

  const body = h("tbody");
  const more = action("Older batches", () => load(true));
  const empty = h("div", { class: "empty", hidden: true });
  const bulk = h("div", { class: "bulk", hidden: true, role: "region", "aria-label": "Chosen batches" });
  const accountBanners = h("div", { class: "banners" });
  const all = h("input", { type: "checkbox", "aria-label": "Choose all", onchange: () => {
    for (const row of rows.values()) row.choose(all.checked);
  } });
  const maySubmit = session.caller.scopes.includes("submit");

  fill(main,
    h("div", { class: "title" }, h("h1", {}, "Batches"), maySubmit && h("a", { class: "button primary", href: "#/new" }, "New batch")),
    accountBanners, filterBar(), bulk,
    scroll("Batches", h("table", { class: "batches" },
      h("thead", {}, h("tr", {},
        h("td", { class: "pick" }, maySubmit && all), ...[["Batch", ""], ["Model", "wide"], ["Account", "wide"], ["State", ""], ["Progress", "progress"],
          ["Left", "number"], ["Rate", "number wide"], ["Cost", "number wide"], ["Age", "number wide"]].map(([text, kind]) => h("th", { class: kind, scope: "col" }, text)))),
      body)),
    empty, h("div", { class: "more" }, more));

  function filterBar() {
    let timer = 0;
    const change = (/** @type {keyof Filters} */ name) => (/** @type {Event & { target: HTMLInputElement }} */ event) => {
      Object.assign(filters, { [name]: event.target.value.trim() });
      clearTimeout(timer);
      timer = setTimeout(() => load(false), event.type === "input" ? 300 : 0);
    };
    const text = (/** @type {keyof Filters} */ name, /** @type {string} */ hint) => h("input", { type: "search", placeholder: hint, "aria-label": hint, oninput: change(name) });
    return h("form", { class: "filters", role: "search", onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
      text("name", "Name"), text("model", "Model"), text("account", "Account"),
      select({ "aria-label": "Status", onchange: change("status") }, STATUSES, ""));
  }

  const isFiltered = () => Object.values(filters).some(Boolean);

  /** @param {boolean} older */
  async function load(older) {
    const mine = ++serial;
    let page;
    try {
      page = await get("/api/batches", { query: { ...filters, limit: PAGE, after: older ? next : null } });
    } catch (error) {
      if (mine === serial) notify(error.message, "error");
      return;
    }
    if (mine !== serial) return;
    if (!older) {
      rows.clear();
      body.replaceChildren();
      chosen.clear();
    }
    for (const batch of page.data) add(batch, false);
    next = page.next;
    more.hidden = next === null;
    // Filters may leave out very many: then a page is short, and the next one goes on.
    if (next !== null && rows.size < 10 && page.data.length < PAGE) return load(true);
    refresh();
  }

  /** @param {Batch} batch @param {boolean} first */
  function add(batch, first) {
    const known = rows.get(batch.id);
    if (known) return known.update(batch);
    const row = batchRow(batch, maySubmit, (picked) => {
      if (picked) chosen.add(batch.id); else chosen.delete(batch.id);
      showBulk();
    });
    rows.set(batch.id, row);
    body[first ? "prepend" : "append"](row.element);
  }

  function refresh() {
    empty.hidden = rows.size > 0;
    if (!rows.size) {
      fill(empty, isFiltered() ? "No batch matches." : ["No batches yet. ", maySubmit && h("a", { href: "#/new" }, "Make one"), maySubmit && " or try: ", h("code", {}, "batchgate submit requests.jsonl")]);
    }
    const paused = new Map();
    for (const { batch } of rows.values()) {
      if (batch.paused && waitsForAccount(batch) && !hasEnded(batch)) paused.set(batch.paused.reason, batch.paused);
    }
    drawBanners([...paused.values()], () => fill(accountBanners, [...paused.values()].map(pauseBanner)));
    showBulk();
  }

  function showBulk() {
    bulk.hidden = !chosen.size;
    all.checked = rows.size > 0 && chosen.size === rows.size;
    drawBulk(chosen.size, () => fill(bulk, h("span", { role: "status" }, `${chosen.size} chosen`),
      action("Pause", () => each("pause", "paused")), action("Resume", () => each("resume", "resumed")),
      action("Cancel", async () => {
        const sure = await ask(`Cancel ${chosen.size} batches?`, [h("p", {}, "Requests that are not sent end without a result. This cannot be undone.")], "Cancel them", { danger: true });
        if (sure) await each("cancel", "canceled");
      }, { class: "danger" })));
  }

  /** @param {"pause" | "resume" | "cancel"} verb @param {string} said */
  async function each(verb, said) {
    const ids = [...rows.values()].filter(({ batch }) => chosen.has(batch.id) && !hasEnded(batch)).map(({ batch }) => batch.id);
    const results = await Promise.allSettled(ids.map((id) => post(`/api/batches/{batch_id}/${verb}`, { path: { batch_id: id } })));
    const faults = results.filter((result) => result.status === "rejected");
    notify(`${ids.length - faults.length} ${said}`);
    if (faults.length) notify(faults[0].reason.message, "error");
    for (const row of rows.values()) row.choose(false);
  }

  const changed = (/** @type {Batch} */ batch) => {
    const known = rows.has(batch.id);
    if (known || !isFiltered()) add(batch, !known);
    refresh();
  };
  const stop = follow("/api/events", {}, { status: changed, progress: changed });
  const timer = setInterval(() => { for (const row of rows.values()) row.tick(); }, 1000);
  load(false);
  return () => {
    stop();
    clearInterval(timer);
    serial++;
  };
}

/** Make the row of a batch, whose cells change in place. @param {Batch} batch @param {boolean} canChoose @param {(picked: boolean) => void} onPick */
function batchRow(batch, canChoose, onPick) {
  const cell = (/** @type {string} */ kind) => h("td", { class: kind });
  const [name, model, account, tag, progress, left, rate, cost, since] =
    ["name", "wide", "wide", "", "progress", "number", "number wide", "number wide", "number wide"].map(cell);
  const pick = h("input", { type: "checkbox", "aria-label": `Choose ${batch.name ?? batch.id}`, onchange: () => onPick(pick.checked) });
  const element = h("tr", {}, h("td", { class: "pick" }, canChoose && pick), name, model, account, tag, progress, left, rate, cost, since);
  const row = {
    element,
    batch,
    choose(/** @type {boolean} */ picked) {
      if (pick.checked !== picked) {
        pick.checked = picked;
        onPick(picked);
      }
    },
    update(/** @type {Batch} */ changed) {
      row.batch = batch = changed;
      pick.disabled = hasEnded(batch);
      element.title = headline(batch);
      if (!name.firstChild) {
        fill(name, h("a", { href: `#/batch/${encodeURIComponent(batch.id)}` }, batch.name ?? batch.id),
          batch.name && h("small", { class: "id" }, batch.id), h("small", { class: "narrow" }, batch.model ?? "several models"));
      }
      setText(model, batch.model ?? "several");
      setText(account, batch.account);
      if (tag.textContent !== state(batch)[0]) fill(tag, stateTag(batch), batch.paused && !hasEnded(batch) && h("small", { class: "muted" }, words(batch.paused.code)));
      fill(progress, bar(batch), h("small", {}, `${compact(done(batch))} of ${compact(batch.total)}`));
      setText(rate, speed(batch));
      setText(cost, spent(batch) || !batch.spent.unpriced ? money(spent(batch)) : "–");
      row.tick();
    },
    tick() {
      setText(left, eta(batch));
      if (!since.firstChild) fill(since, age(batch.created_at));
      else setText(since.firstChild, age(batch.created_at).textContent ?? "");
    },
  };
  row.update(batch);
  return row;
}
