// API keys, workspaces and the settings of the gateway, for administrators.

import { del, get, post } from "../api.js";
import { age, when } from "../batch_parts.js";
import { action, actionsHead, ask, field, fill, h, notify, scroll, select } from "../dom.js";

/** @typedef {import("../api.js").Schemas} Schemas */

/** @type {Schemas["KeyScope"][]} */
const SCOPES = ["read", "submit", "admin"];

/** Show the page. @param {HTMLElement} main */
export function adminPage(main) {
  const keys = h("section", { "aria-label": "API keys" }), models = h("section", { "aria-label": "Models" }), settings = h("section", { "aria-label": "Settings" });
  let workspace = "";
  fill(main, h("h1", {}, "Keys and settings"), keys, models, settings);

  async function loadKeys() {
    const spaces = await get("/api/workspaces", { query: { limit: 1000 } });
    workspace ||= spaces.data.some((space) => space.name === "default") ? "default" : spaces.data[0].name;
    const list = await get("/api/workspaces/{workspace}/keys", { path: { workspace }, query: { limit: 1000 } });
    const chooser = select({ "aria-label": "Workspace", onchange: () => { workspace = chooser.value; loadKeys(); } }, spaces.data.map((space) => space.name), workspace);
    fill(keys, h("div", { class: "title" }, h("h2", {}, "API keys"), h("div", { class: "actions" }, chooser, action("New workspace", newWorkspace), action("New key", newKey, { class: "primary" }))),
      scroll("Table of keys", h("table", {}, h("thead", {}, h("tr", {}, ...["Name", "Scopes", "Ends with", "Created", "Last used"].map((text) => h("th", { scope: "col" }, text)), actionsHead())),
        h("tbody", {}, list.data.map((key) => h("tr", {}, h("td", { class: "name" }, key.name), h("td", {}, key.scopes.join(", ")), h("td", { class: "id" }, key.hint), h("td", {}, when(key.created_at)),
          h("td", {}, key.last_used_at ? [age(key.last_used_at), " ago"] : "never"),
          h("td", { class: "actions" }, key.revoked_at ? h("span", { class: "tag off" }, "revoked") : [action("Rotate", () => rotate(key), { "aria-label": `Rotate ${key.name}` }), action("Revoke", () => revoke(key), { class: "danger", "aria-label": `Revoke ${key.name}` })])))))),
      !list.data.length && h("p", { class: "muted" }, "The database has no keys of this workspace. Keys of the settings are below."));
  }

  async function newKey() {
    const given = await ask("New API key", [field("Name", h("input", { name: "name", required: true, maxlength: 64 })),
      h("fieldset", {}, h("legend", {}, "Scopes"), SCOPES.map((scope) => h("label", { class: "check" }, h("input", { type: "checkbox", name: scope, checked: scope !== "admin" }), scope)))], "Create");
    if (!given) return;
    const scopes = SCOPES.filter((scope) => given[scope]);
    await showKey(await post("/api/workspaces/{workspace}/keys", { path: { workspace }, body: { name: given.name, scopes } }));
  }

  /** @param {Schemas["Key"]} key */
  async function rotate(key) {
    const given = await ask(`Rotate ${key.name}?`, [field("Hours for which the old key stays valid", h("input", { type: "number", name: "hours", min: 0, value: 24, step: "any", required: true }))], "Rotate");
    if (given) await showKey(await post("/api/keys/{key_id}/rotate", { path: { key_id: key.id }, body: { grace_seconds: Math.round(3600 * Number(given.hours)) } }));
  }

  /** @param {Schemas["Key"]} key */
  async function revoke(key) {
    if (await ask(`Revoke ${key.name}?`, [h("p", {}, "Programs and sessions with this key are refused within a second.")], "Revoke", { danger: true })) await del("/api/keys/{key_id}", { path: { key_id: key.id } });
    await loadKeys();
  }

  /** @param {Schemas["CreatedKey"]} created */
  async function showKey(created) {
    const shown = h("code", { class: "secret" }, created.key);
    await ask("The new key", [h("p", {}, "It is shown only now."), shown, action("Copy", async () => { await navigator.clipboard.writeText(created.key); notify("Copied"); })], "Done");
    await loadKeys();
  }

  async function newWorkspace() {
    const given = await ask("New workspace", [field("Name", h("input", { name: "name", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}" }))], "Create");
    if (!given) return;
    await post("/api/workspaces", { body: { name: given.name } });
    workspace = given.name;
    await loadKeys();
  }

  async function loadModels() {
    const list = await get("/api/models");
    const price = (/** @type {Schemas["TokenPrices"] | null} */ prices) => (prices ? `$${prices.input} / $${prices.output}` : "–");
    fill(models, h("h2", {}, "Models"), list.data.length ? scroll("Table of models", h("table", {}, h("thead", {}, h("tr", {}, ...["Model", "Account", "Results in 30 days", "Direct, in / out", "Native, in / out"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, list.data.map((model) => h("tr", {}, h("td", { class: "name" }, model.model), h("td", {}, model.account), h("td", { class: "number" }, model.requests), h("td", { class: "number" }, price(model.direct)), h("td", { class: "number" }, price(model.native))))))) : h("p", { class: "muted" }, "No model was used yet, and the settings name no prices."));
  }

  async function loadSettings() {
    const list = await get("/api/settings");
    const rows = h("tbody");
    const only = h("input", { type: "checkbox", checked: true, onchange: show });
    function show() {
      fill(rows, list.data.filter((setting) => setting.is_set || !only.checked).map((setting) => h("tr", {}, h("th", { scope: "row", class: "name" }, h("code", {}, setting.name)),
        h("td", { class: "text" }, setting.is_secret ? h("span", { class: "muted" }, setting.is_set ? "set, not shown" : "not set") : h("code", {}, setting.value ?? "–")))));
    }
    fill(settings, h("div", { class: "title" }, h("h2", {}, "Settings of this process"), h("label", { class: "check" }, only, "only what differs from the default")), scroll("Table of settings", h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Setting"), h("th", { scope: "col" }, "Value"))), rows)));
    show();
  }

  for (const load of [loadKeys, loadModels, loadSettings]) load().catch((error) => notify(error.message, "error"));
}
