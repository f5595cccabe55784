// The frame of the dashboard: sign-in, navigation, and the page that the address names.

import { del, get, onSignedOut, post } from "./api.js";
import { field, fill, h, notices } from "./dom.js";
import { adminPage } from "./pages/admin.js";
import { batchPage } from "./pages/batch.js";
import { batchesPage } from "./pages/batches.js";
import { healthPage } from "./pages/health.js";
import { newBatchPage } from "./pages/new_batch.js";
import { spendPage } from "./pages/spend.js";

/** @typedef {import("./api.js").Schemas} Schemas */
/** @typedef {Schemas["Session"] & { caller: Schemas["SessionCaller"] }} Session   one of somebody who has signed in */
/** @typedef {{ path: string, title: string, show: (main: HTMLElement, session: Session) => (() => void) | void, scope?: Schemas["KeyScope"] }} Page */

/** @type {Page[]} */
const PAGES = [
  { path: "", title: "Batches", show: batchesPage },
  { path: "new", title: "New batch", show: newBatchPage, scope: "submit" },
  { path: "spend", title: "Spend", show: spendPage },
  { path: "health", title: "Health", show: healthPage },
  { path: "settings", title: "Keys and settings", show: adminPage, scope: "admin" },
];

let leave = () => {};
/** @type {Session | null} */
let session = null;

/** Show the page that the address names; a page returns what ends it. */
function showPage() {
  if (!session) return;
  leave();
  leave = () => {};
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const main = h("main", { id: "main", tabindex: "-1" });
  const page = PAGES.find((candidate) => candidate.path === name && may(session, candidate));
  const shown = name === "batch" ? PAGES[0] : page;
  document.title = shown ? `${shown.title} · Batchgate` : "Batchgate";
  fill(document.body, skipLink(), header(session, shown), main, notices);
  if (name === "batch" && rest[0]) leave = batchPage(main, session, decodeURIComponent(rest[0])) ?? (() => {});
  else if (page) leave = page.show(main, session) ?? (() => {});
  else fill(main, h("h1", {}, "There is no such page"), h("p", {}, h("a", { href: "#/" }, "All batches")));
}

/** Show the page of a changed address, and begin to read there: the link that led to it is gone. */
function turnTo() {
  showPage();
  focusMain();
}

const focusMain = () => document.getElementById("main")?.focus();

/** @param {Session | null} session @param {Page} page */
const may = (session, page) => !page.scope || session?.caller.scopes.includes(page.scope);

const skipLink = () => h("a", { class: "skip", href: "#main", onclick: (/** @type {Event} */ event) => {
  event.preventDefault();
  focusMain();
} }, "Skip to the content");

/** @param {Session} session @param {Page} [shown] */
function header(session, shown) {
  const { caller } = session;
  const out = h("button", { type: "button", class: "quiet", onclick: () => del("/api/session").then(() => signIn()) }, "Sign out");
  return h("header", { class: "top" },
    h("a", { class: "brand", href: "#/" }, h("img", { src: "dashboard/icon.svg", alt: "", width: 20, height: 20 }), "Batchgate"),
    h("nav", { "aria-label": "Pages" }, PAGES.filter((page) => may(session, page)).map((page) =>
      h("a", { href: `#/${page.path}`, "aria-current": page === shown ? "page" : null }, page.title))),
    h("div", { class: "who" },
      h("span", { title: "Workspace" }, caller.workspace), caller.key && h("span", { class: "muted" }, caller.key),
      session.needs_key && out));
}

/** Show the form for an API key, with the reason why it is needed. @param {string} [reason] */
function signIn(reason) {
  leave();
  leave = () => {};
  session = null;
  const key = h("input", { type: "password", name: "key", required: true, autocomplete: "current-password", autofocus: true, "aria-describedby": "reason" });
  const said = h("p", { id: "reason", class: "error", role: "alert" }, reason ?? "");
  const form = h("form", { class: "sign-in", onsubmit: async (/** @type {Event} */ event) => {
    event.preventDefault();
    try {
      session = signedIn(await post("/api/session", { body: { api_key: key.value } }));
      turnTo();
    } catch (error) {
      said.textContent = error.message;
      key.select();
    }
  } },
    h("h1", {}, h("img", { src: "dashboard/icon.svg", alt: "", width: 28, height: 28 }), "Batchgate"),
    field("API key", key, "It is kept in a cookie that scripts cannot read, until you close the browser."),
    said, h("button", { type: "submit", class: "primary" }, "Sign in"));
  document.title = "Sign in · Batchgate";
  fill(document.body, h("main", { id: "main" }, form), notices);
  key.focus();
}

/** @param {Schemas["Session"]} session @returns {Session | null} */
const signedIn = ({ caller, ...rest }) => caller && { ...rest, caller };

async function start() {
  onSignedOut(signIn);
  window.addEventListener("hashchange", () => session && turnTo());
  try {
    session = signedIn(await get("/api/session"));
  } catch (error) {
    if (error.status === 401) return signIn(`${error.message} It may have been revoked.`);
    return fill(document.body, h("main", {}, h("h1", {}, "Batchgate"), h("p", { class: "error" }, error.message)));
  }
  return session ? showPage() : signIn();
}

start();
