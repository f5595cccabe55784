// What was spent, by day and by what one groups by.

import { get } from "../api.js";
import { fill, h, notify, scroll, select } from "../dom.js";
import { compact, count, money } from "../format.js";

/** @typedef {import("../api.js").Schemas} Schemas */

/** Show the page. @param {HTMLElement} main @param {import("../main.js").Session} session */
export function spendPage(main, session) {
  const dimensions = [["model", "by model"], ["account", "by account"], ["key", "by API key"], ["lane", "by lane"]];
  if (session.caller.scopes.includes("admin")) dimensions.push(["workspace", "by workspace"]);
  const by = select({ "aria-label": "Group by", onchange: () => load() }, dimensions, "model");
  const days = select({ "aria-label": "Days", onchange: () => load() }, [["7", "7 days"], ["30", "30 days"], ["90", "90 days"]], "30");
  const content = h("div");
  fill(main, h("div", { class: "title" }, h("h1", {}, "Spend"), h("div", { class: "filters" }, days, by)), content);

  async function load() {
    const day = (/** @type {number} */ time) => new Date(time).toISOString().slice(0, 10);
    const now = Date.now(), until = day(now), since = day(now - (Number(days.value) - 1) * 86_400_000);
    try {
      const [byDay, grouped] = await Promise.all([get("/api/usage", { query: { since, until, by: "day" } }), get("/api/usage", { query: { since, until, by: by.value } })]);
      show(byDay, grouped);
    } catch (error) {
      notify(error.message, "error");
    }
  }

  /** @param {Schemas["UsageReport"]} byDay @param {Schemas["UsageReport"]} grouped */
  function show(byDay, grouped) {
    const total = grouped.total;
    const known = new Map(byDay.data.map((group) => [group.day, group]));
    const listed = [];
    for (let day = new Date(grouped.since); day <= new Date(grouped.until); day.setUTCDate(day.getUTCDate() + 1)) listed.push(day.toISOString().slice(0, 10));
    const most = Math.max(1e-9, ...byDay.data.map((group) => group.cost_usd));
    const name = /** @type {"model" | "account" | "key" | "lane" | "workspace"} */ (by.value);
    const quota = grouped.workspace.quotas?.monthly_spend_usd;
    fill(content,
      h("dl", { class: "facts" }, facts([["Spent", money(total.cost_usd)], ["Saved by the native lane", money(total.saved_usd)], ["Answers", count(total.succeeded)],
        ["Tokens", `${compact(total.tokens.input)} in, ${compact(total.tokens.output)} out`], total.unpriced > 0 && ["Without a price", `${count(total.unpriced)} answers`],
        quota !== null && quota !== undefined && ["Quota a month", money(quota)]])),
      h("figure", { class: "days" }, h("figcaption", {}, "A day (UTC)"),
        h("div", { class: "columns", role: "img", "aria-label": `Spend by day, ${money(total.cost_usd)} together` }, listed.map((day) => column(day, known.get(day)?.cost_usd ?? 0, most)))),
      scroll("Spend by group", h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, name === "key" ? "API key" : name[0].toUpperCase() + name.slice(1)),
        ...["Cost", "Saved", "Answers", "Failed", "Tokens in", "Tokens out"].map((text, index) => h("th", { scope: "col", class: index > 2 ? "number wide" : "number" }, text)))),
        h("tbody", {}, [...grouped.data].sort((one, other) => other.cost_usd - one.cost_usd).map((group) => h("tr", {}, h("td", { class: "name" }, group[name] ?? "–"),
          ...[money(group.cost_usd), money(group.saved_usd), count(group.succeeded)].map((text) => h("td", { class: "number" }, text)),
          ...[count(group.errored), compact(group.tokens.input), compact(group.tokens.output)].map((text) => h("td", { class: "number wide" }, text))))))),
      !grouped.data.length && h("div", { class: "empty" }, "Nothing was used in these days."));
  }

  load();
}

/** @param {(string[] | false)[]} pairs */
const facts = (pairs) => pairs.map((pair) => pair && h("div", {}, h("dt", {}, pair[0]), h("dd", {}, pair[1])));

/** Make the column of a day; its height is a step of a style, since the page allows no styles in elements. @param {string} day @param {number} cost @param {number} most */
function column(day, cost, most) {
  return h("div", { class: "column", title: `${day}: ${money(cost)}` }, h("div", { class: `fill h${Math.round((20 * cost) / most)}` }));
}
