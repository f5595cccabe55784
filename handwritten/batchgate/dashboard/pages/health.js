// How the gateway is: accounts, workers, queue, storage, and the deliveries of webhooks.

import { get, post, query } from "../api.js";
import { age } from "../batch_parts.js";
import { action, fill, h, notify, select } from "../dom.js";
import { count, latency, percent, words } from "../format.js";

/** Show the page; returns what ends it. */
export function healthPage(main, session) {
  const isAdmin = session.caller.scopes.includes("admin");
  const maySubmit = session.caller.scopes.includes("submit");
  const state = h("section", { "aria-label": "Process" }), accounts = h("section", { "aria-label": "Accounts" }), hooks = h("section", { "aria-label": "Webhooks" });
  const tests = new Map();
  let chosenHook = null;
  fill(main, h("h1", {}, "Health"), state, accounts, hooks);

  async function load() {
    try {
      const [health, metrics, list] = await Promise.all([get("api/session").then(() => get("health")), readMetrics(), get("api/accounts")]);
      showState(health, metrics);
      showAccounts(list.data);
    } catch (error) {
      notify(error.message, "error");
    }
  }

  function showState(health, metrics) {
    const fact = (name, value) => value !== undefined && value !== null && h("div", {}, h("dt", {}, name), h("dd", {}, value));
    const ok = health.status === "ok";
    fill(state,
      h("p", { class: "headline" }, h("span", { class: `tag ${ok ? "good" : "bad"}` }, ok ? "well" : "degraded"), ok ? " Nothing is wrong." : ` Problems in: ${health.components.join(", ")}.`),
      (health.problems ?? []).map((problem) => h("div", { class: "banner bad" }, h("strong", {}, `${problem.component}: ${words(problem.code)}`), " ", problem.message, " ", h("span", { class: "muted" }, "for ", age(problem.since)))),
      h("dl", { class: "facts" }, fact("Version", health.version), fact("Workers", health.workers), fact("Calls in flight", health.requests_in_flight),
        fact("Shards that wait", metrics.batchgate_shards_waiting), fact("Oldest wait", metrics.batchgate_oldest_shard_wait_seconds === undefined ? null : latency(metrics.batchgate_oldest_shard_wait_seconds)),
        fact("Damaged files", metrics.batchgate_damaged_blobs), fact("Member", health.member)));
  }

  function showAccounts(list) {
    fill(accounts, h("h2", {}, "Accounts"), h("p", { class: "muted" }, isAdmin ? "Over all workers. Refused calls are those of the last 15 minutes that the provider turned away for load, mostly with 429." : "Administrators see more."),
      h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Account"), h("th", { scope: "col" }, "State"),
        isAdmin && [h("th", { scope: "col" }, "Concurrency"), h("th", { scope: "col", class: "number" }, "Calls"), h("th", { scope: "col", class: "number" }, "Refused"), h("th", {}, "")])),
      h("tbody", {}, list.map((account) => h("tr", {},
        h("td", { class: "name" }, account.name, h("small", { class: "muted" }, account.provider, account.has_batch_api && " · batch API")),
        h("td", {}, h("span", { class: `tag ${account.state === "ok" ? "good" : "warn"}` }, words(account.state)), account.pauses.map((pause) => h("small", {}, pause.model && `${pause.model}: `, pause.reason))),
        isAdmin && [h("td", {}, account.models.length ? account.models.map((model) => h("div", {}, h("span", {}, `${model.in_flight}/${model.limit}`), h("small", { class: "muted inline" }, ` of ${model.maximum} ${model.model}${model.reason ? ` (${model.reason})` : ""}`))) : h("span", { class: "muted" }, `at most ${account.concurrency}`)),
          h("td", { class: "number" }, count(account.recent_calls.calls)), h("td", { class: "number" }, percent(account.recent_calls.refused, account.recent_calls.calls)),
          h("td", { class: "actions" }, action("Test", () => test(account.name)), tests.get(account.name))]))))));
  }

  async function test(name) {
    const found = await post(`api/accounts/${encodeURIComponent(name)}/test`);
    const what = found.method === "call" ? `called ${found.model}` : "listed models";
    tests.set(name, h("small", { class: found.ok ? "good" : "error", role: "status" }, found.ok ? `${what} in ${latency(found.seconds)}` : `${found.error.status ?? ""} ${found.error.message}`));
    await load();
  }

  async function loadHooks() {
    const list = await get("api/webhooks");
    if (!list.data.length) return fill(hooks, h("h2", {}, "Webhooks"), h("p", { class: "muted" }, "There are none. ", h("code", {}, "batchgate webhooks create"), " makes one."));
    chosenHook ??= list.data[0].id;
    const chooser = select({ "aria-label": "Webhook", onchange: () => { chosenHook = chooser.value; loadHooks(); } }, list.data.map((hook) => [hook.id, hook.url ?? "URLs of batches"]), chosenHook);
    const deliveries = await get(`api/webhooks/${chosenHook}/deliveries${query({ limit: 30 })}`);
    const chosen = list.data.find((hook) => hook.id === chosenHook);
    fill(hooks, h("div", { class: "title" }, h("h2", {}, "Webhooks"), h("div", { class: "actions" }, chooser,
      maySubmit && chosen?.url && action("Send a test", async () => { await post(`api/webhooks/${chosenHook}/test`); await loadHooks(); }))),
    h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ...["Event", "State", "Attempts", "Age", "Last answer", ""].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, deliveries.data.map((delivery) => h("tr", {}, h("td", { class: "name" }, delivery.type, delivery.batch_id && h("a", { class: "id", href: `#/batch/${delivery.batch_id}` }, delivery.batch_id)),
        h("td", {}, h("span", { class: `tag ${{ delivered: "good", failed: "bad" }[delivery.state] ?? "live"}` }, delivery.state)), h("td", { class: "number" }, delivery.attempts), h("td", {}, age(delivery.created_at)),
        h("td", { class: "text" }, delivery.response_status ?? "", " ", delivery.error ?? ""), h("td", { class: "actions" }, maySubmit && action("Replay", async () => {
          await post(`api/webhooks/${chosenHook}/deliveries/${delivery.event_id}/replay`);
          notify("The event is sent again.");
          await loadHooks();
        }))))))), !deliveries.data.length && h("p", { class: "muted" }, "Nothing was sent to it."));
  }

  load();
  loadHooks().catch((error) => notify(error.message, "error"));
  const timer = setInterval(load, 5000);
  return () => clearInterval(timer);
}

/** Read the gauges without labels from the metrics. */
async function readMetrics() {
  const response = await fetch("metrics", { credentials: "same-origin" });
  const found = {};
  if (!response.ok) return found;
  for (const line of (await response.text()).split("\n")) {
    const match = /^(\w+) ([\d.e+-]+)$/.exec(line);
    if (match) found[match[1]] = Number(match[2]);
  }
  return found;
}
