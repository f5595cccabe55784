// How the gateway is: accounts, workers, queue, storage, and the deliveries of webhooks.

import { address, get, post } from "../api.js";
import { age } from "../batch_parts.js";
import { action, actionsHead, fill, h, notify, redraws, scroll, select } from "../dom.js";
import { count, latency, percent, words } from "../format.js";

/** @typedef {import("../api.js").Schemas} Schemas */

/** Show the page; returns what ends it. @param {HTMLElement} main @param {import("../main.js").Session} session */
export function healthPage(main, session) {
  const isAdmin = session.caller.scopes.includes("admin");
  const maySubmit = session.caller.scopes.includes("submit");
  const state = h("section", { "aria-label": "Process" }), accounts = h("section", { "aria-label": "Accounts" }), hooks = h("section", { "aria-label": "Webhooks" });
  /** @type {Map<string, HTMLElement>} */
  const tests = new Map();
  const drawAccounts = redraws();
  let chosenHook = "";
  fill(main, h("h1", {}, "Health"), state, accounts, hooks);

  async function load() {
    try {
      const [health, metrics, list] = await Promise.all([get("/api/session").then(() => get("/health")), readMetrics(), get("/api/accounts")]);
      showState(health, metrics);
      drawAccounts([list.data, [...tests.values()].map((result) => result.textContent)], () => showAccounts(list.data));
    } catch (error) {
      notify(error.message, "error");
    }
  }

  /** @param {Schemas["Health"]} health @param {Record<string, number>} metrics */
  function showState(health, metrics) {
    const fact = (/** @type {string} */ name, /** @type {string | number | null | undefined} */ value) => value !== undefined && value !== null && h("div", {}, h("dt", {}, name), h("dd", {}, value));
    const ok = health.status === "ok";
    fill(state,
      h("p", { class: "headline" }, h("span", { class: `tag ${ok ? "good" : "bad"}` }, ok ? "well" : "degraded"), ok ? " Nothing is wrong." : ` Problems in: ${health.components.join(", ")}.`),
      (health.problems ?? []).map((problem) => h("div", { class: "banner bad" }, h("strong", {}, `${problem.component}: ${words(problem.code)}`), " ", problem.message, " ", h("span", { class: "muted" }, "for ", age(problem.since)))),
      h("dl", { class: "facts" }, fact("Version", health.version), fact("Workers", health.workers), fact("Calls in flight", health.requests_in_flight),
        fact("Shards that wait", metrics.batchgate_shards_waiting), fact("Oldest wait", metrics.batchgate_oldest_shard_wait_seconds === undefined ? null : latency(metrics.batchgate_oldest_shard_wait_seconds)),
        fact("Damaged files", metrics.batchgate_damaged_blobs), fact("Member", health.member)));
  }

  /** @param {Schemas["Account"][]} list */
  function showAccounts(list) {
    fill(accounts, h("h2", {}, "Accounts"), h("p", { class: "muted" }, isAdmin ? "Over all workers. Refused calls are those of the last 15 minutes that the provider turned away for load, mostly with 429." : "Administrators see more."),
      scroll("Table of accounts", h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Account"), h("th", { scope: "col" }, "State"),
        isAdmin && [h("th", { scope: "col" }, "Concurrency"), h("th", { scope: "col", class: "number" }, "Calls"), h("th", { scope: "col", class: "number" }, "Refused"), actionsHead()])),
      h("tbody", {}, list.map((account) => h("tr", {},
        h("td", { class: "name" }, account.name, h("small", { class: "muted" }, account.provider, account.has_batch_api && " · batch API")),
        h("td", {}, h("span", { class: `tag ${account.state === "ok" ? "good" : "warn"}` }, words(account.state)), account.pauses.map((pause) => h("small", {}, pause.model && `${pause.model}: `, pause.reason))),
        isAdmin && [h("td", {}, account.models?.length ? account.models.map((model) => h("div", {}, h("span", {}, `${model.in_flight}/${model.limit}`), h("small", { class: "muted inline" }, ` of ${model.maximum} ${model.model}${model.reason ? ` (${model.reason})` : ""}`))) : h("span", { class: "muted" }, `at most ${account.concurrency}`)),
          h("td", { class: "number" }, account.recent_calls && count(account.recent_calls.calls)), h("td", { class: "number" }, account.recent_calls && percent(account.recent_calls.refused, account.recent_calls.calls)),
          h("td", { class: "actions" }, action("Test", () => test(account.name), { "aria-label": `Test ${account.name}` }), tests.get(account.name))]))))));
  }

  /** @param {string} name */
  async function test(name) {
    const found = await post("/api/accounts/{account}/test", { path: { account: name } });
    const what = found.method === "call" ? `called ${found.model}` : "listed models";
    tests.set(name, h("small", { class: found.error ? "error" : "good", role: "status" }, found.error ? `${found.error.status ?? ""} ${found.error.message}` : `${what} in ${latency(found.seconds)}`));
    await load();
  }

  async function loadHooks() {
    const list = await get("/api/webhooks");
    if (!list.data.length) return fill(hooks, h("h2", {}, "Webhooks"), h("p", { class: "muted" }, "There are none. ", h("code", {}, "batchgate webhooks create"), " makes one."));
    chosenHook ||= list.data[0].id;
    const chooser = select({ "aria-label": "Webhook", onchange: () => { chosenHook = chooser.value; loadHooks(); } }, list.data.map((hook) => [hook.id, hook.url ?? "URLs of batches"]), chosenHook);
    const deliveries = await get("/api/webhooks/{webhook_id}/deliveries", { path: { webhook_id: chosenHook }, query: { limit: 30 } });
    const chosen = list.data.find((hook) => hook.id === chosenHook);
    fill(hooks, h("div", { class: "title" }, h("h2", {}, "Webhooks"), h("div", { class: "actions" }, chooser,
      maySubmit && chosen?.url && action("Send a test", async () => { await post("/api/webhooks/{webhook_id}/test", { path: { webhook_id: chosenHook } }); await loadHooks(); }))),
    scroll("Deliveries", h("table", {}, h("thead", {}, h("tr", {}, ...["Event", "State", "Attempts", "Age", "Last answer"].map((text) => h("th", { scope: "col" }, text)), actionsHead())),
      h("tbody", {}, deliveries.data.map((delivery) => h("tr", {}, h("td", { class: "name" }, delivery.type, delivery.batch_id && h("a", { class: "id", href: `#/batch/${delivery.batch_id}` }, delivery.batch_id)),
        h("td", {}, h("span", { class: `tag ${delivery.state === "delivered" ? "good" : delivery.state === "failed" ? "bad" : "live"}` }, delivery.state)), h("td", { class: "number" }, delivery.attempts), h("td", {}, age(delivery.created_at)),
        h("td", { class: "text" }, delivery.response_status ?? "", " ", delivery.error ?? ""), h("td", { class: "actions" }, maySubmit && action("Replay", async () => {
          await post("/api/webhooks/{webhook_id}/deliveries/{event_id}/replay", { path: { webhook_id: chosenHook, event_id: delivery.event_id } });
          notify("The event is sent again.");
          await loadHooks();
        }, { "aria-label": `Replay ${delivery.type} ${delivery.batch_id ?? ""}` }))))))), !deliveries.data.length && h("p", { class: "muted" }, "Nothing was sent to it."));
  }

  load();
  loadHooks().catch((error) => notify(error.message, "error"));
  const timer = setInterval(load, 5000);
  return () => clearInterval(timer);
}

/** Read the gauges without labels from the metrics. */
async function readMetrics() {
  const response = await fetch(address("/metrics"), { credentials: "same-origin" });
  /** @type {Record<string, number>} */
  const found = {};
  if (!response.ok) return found;
  for (const line of (await response.text()).split("\n")) {
    const match = /^(\w+) ([\d.e+-]+)$/.exec(line);
    if (match) found[match[1]] = Number(match[2]);
  }
  return found;
}
