// The frame of the dashboard: sign-in, navigation, and the page that the address names.

import { call, get, onSignedOut } from "./api.js";
import { fill, h } from "./dom.js";
import { adminPage } from "./pages/admin.js";
import { batchPage } from "./pages/batch.js";
import { batchesPage } from "./pages/batches.js";
import { healthPage } from "./pages/health.js";
import { newBatchPage } from "./pages/new_batch.js";
import { spendPage } from "./pages/spend.js";

const PAGES = [
  { path: "", title: "Batches", show: batchesPage },
  { path: "new", title: "New batch", show: newBatchPage, scope: "submit" },
  { path: "spend", title: "Spend", show: spendPage },
  { path: "health", title: "Health", show: healthPage },
  { path: "settings", title: "Keys and settings", show: adminPage, scope: "admin" },
];

let leave = () => {};
let session = null;

/** Show the page that the address names; a page returns what ends it. */
function showPage() {
  leave();
  leave = () => {};
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const main = h("main", { id: "main", tabindex: "-1" });
  const page = PAGES.find((candidate) => candidate.path === name && may(candidate));
  const shown = name === "batch" ? PAGES[0] : page;
  document.title = shown ? `${shown.title} · Batchgate` : "Batchgate";
  fill(document.body, skipLink(), header(shown), main);
  if (name === "batch" && rest[0]) leave = batchPage(main, session, decodeURIComponent(rest[0])) ?? (() => {});
  else if (page) leave = page.show(main, session) ?? (() => {});
  else fill(main, h("h1", {}, "There is no such page"), h("p", {}, h("a", { href: "#/" }, "All batches")));
}

const may = (page) => !page.scope || session.caller.scopes.includes(page.scope);

const skipLink = () => h("a", { class: "skip", href: "#main", onclick: (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
} }, "Skip to the content");

function header(shown) {
  const { caller } = session;
  const out = h("button", { type: "button", class: "quiet", onclick: () => call("DELETE", "api/session").then(() => signIn()) }, "Sign out");
  return h("header", { class: "top" },
    h("a", { class: "brand", href: "#/" }, h("img", { src: "dashboard/icon.svg", alt: "", width: 20, height: 20 }), "Batchgate"),
    h("nav", { "aria-label": "Pages" }, PAGES.filter(may).map((page) =>
      h("a", { href: `#/${page.path}`, "aria-current": page === shown ? "page" : null }, page.title))),
    h("div", { class: "who" },
      h("span", { title: "Workspace" }, caller.workspace), caller.key && h("span", { class: "muted" }, caller.key),
      session.needs_key && out));
}

/** Show the form for an API key, with the reason why it is needed. */
function signIn(reason) {
  leave();
  leave = () => {};
  session = null;
  const key = h("input", { type: "password", name: "key", required: true, autocomplete: "current-password", autofocus: true, "aria-describedby": "reason" });
  const said = h("p", { id: "reason", class: "error", role: "alert" }, reason ?? "");
  const form = h("form", { class: "sign-in", onsubmit: async (event) => {
    event.preventDefault();
    try {
      session = await call("POST", "api/session", { api_key: key.value });
      showPage();
    } catch (error) {
      said.textContent = error.message;
      key.select();
    }
  } },
    h("h1", {}, h("img", { src: "dashboard/icon.svg", alt: "", width: 28, height: 28 }), "Batchgate"),
    h("label", { class: "field" }, h("span", {}, "API key"), key,
      h("small", {}, "It is kept in a cookie that scripts cannot read, until you close the browser.")),
    said, h("button", { type: "submit", class: "primary" }, "Sign in"));
  document.title = "Sign in · Batchgate";
  fill(document.body, h("main", { id: "main" }, form));
  key.focus();
}

async function start() {
  onSignedOut(signIn);
  window.addEventListener("hashchange", () => session && showPage());
  try {
    session = await get("api/session");
  } catch (error) {
    if (error.status === 401) return signIn(`${error.message} It may have been revoked.`);
    return fill(document.body, h("main", {}, h("h1", {}, "Batchgate"), h("p", { class: "error" }, error.message)));
  }
  return session.caller ? showPage() : signIn();
}

start();
