// A new batch: from a JSONL file as it is, or from a CSV file and a template for its prompts.

import { creates, get, post } from "../api.js";
import { fillTemplate, readCsv, readText, templateFault } from "../csv.js";
import { action, field, fill, h, notify, scroll, select } from "../dom.js";
import { compact, count, duration, money } from "../format.js";

const TRIAL = 3;
const MAX_BYTES = 256 * 1024 * 1024;

/** @typedef {import("../api.js").Schemas} Schemas */
/** @typedef {Record<string, HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement>} Options */
/**
 * A file that was chosen; of tables it has the columns.
 * @typedef {{ size: number, columns?: string[], lineOf: (index: number) => number, endpoint: (options: Options) => Schemas["UnifiedBatchEndpoint"] | undefined,
 *   requests: (options: Options, limit: number) => Iterable<string> }} Source
 */

/** Show the page; returns what ends it. @param {HTMLElement} main */
export function newBatchPage(main) {
  /** @type {Source} */
  let source;
  /** @type {AbortController | null} */
  let checking = null;
  let timer = 0;
  const input = h("input", { type: "file", accept: ".jsonl,.ndjson,.csv,.tsv,.txt,application/json,text/csv", class: "visually-hidden", id: "file", onchange: () => chosen(input.files?.[0]) });
  const dropZone = h("label", { class: "drop", for: "file" }, h("strong", {}, "Drop a JSONL or CSV file here"), h("span", { class: "muted" }, " or choose one. JSONL: one request a line, as for OpenAI or Anthropic. CSV: one row a prompt."));
  const form = h("form", { class: "new-batch", hidden: true, onsubmit: (/** @type {Event} */ event) => event.preventDefault() });
  const found = h("section", { "aria-label": "Check", "aria-live": "polite" });
  /** @type {Options} */
  const options = {};
  const creating = creates();
  const named = (/** @type {string} */ name, /** @type {Record<string, any>} */ props) => (options[name] = h("input", { name, oninput: changed, ...props }));
  const accounts = h("datalist", { id: "accounts" });
  const models = h("datalist", { id: "models" });

  fill(main, h("h1", {}, "New batch"), input, dropZone, form, found, accounts, models);
  for (const kind of ["dragover", "dragenter"]) dropZone.addEventListener(kind, (event) => { event.preventDefault(); dropZone.classList.add("over"); });
  dropZone.addEventListener("dragleave", () => dropZone.classList.remove("over"));
  dropZone.addEventListener("drop", (event) => {
    event.preventDefault();
    dropZone.classList.remove("over");
    chosen(event.dataTransfer?.files[0]);
  });
  input.addEventListener("focus", () => dropZone.classList.add("focus"));
  input.addEventListener("blur", () => dropZone.classList.remove("focus"));
  get("/api/accounts").then((list) => fill(accounts, list.data.map((account) => h("option", { value: account.name }))), () => {});
  get("/api/models").then((list) => fill(models, list.data.map((model) => h("option", { value: model.model }))), () => {});

  /** @param {File} [file] */
  function chosen(file) {
    input.value = ""; // so that the same file can be chosen again when it is mended
    if (file) read(file);
  }

  /** @param {File} file */
  async function read(file) {
    if (file.size > MAX_BYTES) return notify("The file has more than 256 MB. Cut it, or upload it to /v1/files and create the batch of it.", "error");
    let isCsv;
    try {
      const text = await readText(file);
      isCsv = /\.(csv|tsv)$/i.test(file.name) || !text.trimStart().startsWith("{");
      source = isCsv ? csvSource(text) : jsonlSource(text);
    } catch (error) {
      return notify(error.message, "error");
    }
    fill(dropZone, h("strong", {}, file.name), h("span", { class: "muted" }, ` ${count(source.size)} ${isCsv ? "rows" : "requests"}. Drop another file to replace it.`));
    showForm(file.name.replace(/\.[^.]+$/, ""));
    changed();
  }

  /** @param {string} name */
  function showForm(name) {
    form.hidden = false;
    fill(form,
      source.columns && h("fieldset", {}, h("legend", {}, "Prompt"),
        h("p", { class: "muted" }, "Columns: ", source.columns.map((column) => [h("button", { type: "button", class: "chip", onclick: () => insert(column) }, column), " "])),
        field("Template", (options.template = h("textarea", { name: "template", rows: 4, oninput: changed, value: `{${source.columns[0]}}` })), "{column} is replaced by the value of the row. Write {{ and }} for braces."),
        field("System prompt", (options.system = h("textarea", { name: "system", rows: 2, oninput: changed })), "Optional."),
        h("div", { class: "fields" },
          field("API", (options.api = select({ name: "api", onchange: changed }, [["chat", "Chat Completions"], ["messages", "Anthropic Messages"]], "chat"))),
          field("Model", named("model", { required: true, list: "models", placeholder: "gpt-5-mini" })),
          field("At most tokens an answer", named("max_tokens", { type: "number", min: 1, placeholder: "no maximum" })),
          field("Id of a row", (options.id = select({ name: "id", onchange: changed }, [["", "its number"], ...source.columns.map((column) => [column, column])], source.columns.find((column) => /^(custom_)?id$/i.test(column)) ?? ""))))),
      h("fieldset", {}, h("legend", {}, "Batch"), h("div", { class: "fields" },
        field("Name", named("name", { value: name, maxlength: 128 })),
        field("Account", named("account", { list: "accounts", placeholder: "default" })),
        field("Lane", (options.lane = select({ name: "lane", onchange: changed }, [["", "that of the account"], ["auto", "auto: the cheaper that fits"], ["direct", "direct: now"], ["native", "native: the provider's batch API"]], ""))),
        field("Expires after", (options.window = select({ name: "window", onchange: changed }, ["1h", "6h", "24h", "2d", "7d"], "24h"))),
        field("Budget in dollars", named("budget", { type: "number", min: 0, step: "any", placeholder: "none" })),
        field("Webhook", named("webhook", { type: "url", placeholder: "https://" })))));
  }

  /** @param {string} column */
  function insert(column) {
    const template = /** @type {HTMLTextAreaElement} */ (options.template);
    template.setRangeText(`{${column}}`, template.selectionStart, template.selectionEnd, "end");
    template.focus();
    changed();
  }

  /** Check what is there, a moment after the last change. */
  function changed() {
    creating.forget();
    clearTimeout(timer);
    timer = setTimeout(check, 500);
  }

  async function check() {
    checking?.abort();
    if (!source) return;
    const fault = source.columns && (templateFault(options.template.value, source.columns) ?? templateFault(options.system.value, source.columns));
    if (fault) return fill(found, h("p", { class: "error" }, fault));
    if (source.columns && options.api.value === "messages" && !options.max_tokens.value) return fill(found, h("p", { class: "error" }, "Anthropic Messages need the most tokens of an answer."));
    if (source.columns && !options.model.value.trim()) return fill(found, h("p", { class: "muted" }, "Name a model to see what the batch needs."));
    checking = new AbortController();
    fill(found, h("p", { class: "muted" }, `Checking ${count(source.size)} requests…`));
    try {
      const estimate = await post("/api/batches/validate", { query: account(), body: body(), signal: checking.signal });
      fill(found, estimateOf(estimate));
    } catch (error) {
      if (error.name !== "AbortError") fill(found, h("p", { class: "error", role: "alert" }, error.message));
    }
  }

  const account = () => ({ provider: options.account.value.trim() });

  /** Return the body of a create as a Blob, so that a large file is not copied as one text. */
  function body(limit = Infinity, suffix = "") {
    /** @type {Schemas["CreateUnifiedBatch"]} */
    const given = { completion_window: options.window.value };
    const name = options.name.value.trim();
    if (name) given.name = (name + suffix).slice(0, 128);
    if (options.lane.value) given.lane = /** @type {Schemas["Lane"]} */ (options.lane.value);
    if (options.budget.value) given.budget_usd = Number(options.budget.value);
    if (options.webhook.value.trim()) given.webhook = options.webhook.value.trim();
    const endpoint = source.endpoint(options);
    if (endpoint) given.endpoint = endpoint;
    return new Blob([JSON.stringify(given).slice(0, -1), ',"requests":[', ...source.requests(options, limit), "]}"]);
  }

  /** @param {Schemas["BatchEstimate"]} estimate */
  function estimateOf(estimate) {
    const lane = (/** @type {string} */ name, /** @type {Schemas["LaneEstimate"] | null} */ cost, /** @type {number | null} */ seconds) => cost && h("tr", {}, h("th", { scope: "row" }, name),
      h("td", { class: "number" }, cost.unpriced ? "no price" : cost.expected_usd === null ? `${money(cost.input_usd)} + answers` : money(cost.expected_usd)),
      h("td", { class: "number" }, cost.max_usd === null || cost.unpriced ? "–" : money(cost.max_usd)), h("td", { class: "number" }, seconds === null || seconds === undefined ? "–" : duration(seconds)));
    const ready = !estimate.error_count;
    return [
      h("h2", {}, ready ? `${count(estimate.requests)} requests are valid` : `${count(estimate.error_count)} errors`),
      !ready && scroll("Errors", h("table", { class: "faults" }, h("thead", {}, h("tr", {}, h("th", { class: "number", scope: "col" }, source.columns ? "Row" : "Line"), h("th", { scope: "col" }, "What is wrong"))),
        h("tbody", {}, estimate.errors.map((fault) => h("tr", {}, h("td", { class: "number" }, fault.line ?? (fault.index === null ? "" : source.lineOf(fault.index))), h("td", { class: "text" }, fault.custom_id && h("small", { class: "id" }, fault.custom_id), fault.message)))))),
      estimate.requests > 0 && h("table", { class: "estimate" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Lane"), ...["Cost", "At most", "Time"].map((text) => h("th", { scope: "col", class: "number" }, text)))),
        h("tbody", {}, lane("Direct", estimate.direct, estimate.direct_seconds), lane("Native", estimate.native, estimate.native_seconds))),
      h("p", { class: "muted" }, `About ${compact(estimate.input_tokens)} tokens in`, estimate.expected_output_tokens !== null && `, ${compact(estimate.expected_output_tokens)} out`, "."),
      h("div", { class: "actions" },
        action(`Create ${count(source.size)} requests`, () => create(Infinity, ""), { class: "primary", disabled: !ready }),
        source.size > TRIAL && action(`Run ${TRIAL} rows first`, () => create(TRIAL, ` (${TRIAL} rows)`), { disabled: !ready })),
    ];
  }

  /** @param {number} limit @param {string} suffix */
  async function create(limit, suffix) {
    const batch = await creating.post(suffix, "/v1/batches", { query: account(), body: body(limit, suffix) });
    notify(limit === Infinity ? "The batch is created." : `A batch of the first ${TRIAL} rows is created.`);
    location.hash = `#/batch/${encodeURIComponent(batch.id)}`;
  }

  return () => {
    clearTimeout(timer);
    checking?.abort();
  };
}

/** Take the lines of a JSONL file as requests. @param {string} text @returns {Source} */
function jsonlSource(text) {
  const lines = text.split(/\r?\n/);
  /** @type {number[]} */
  const kept = [];
  lines.forEach((line, index) => { if (line.trim()) kept.push(index); });
  if (!kept.length) throw new Error("The file is empty.");
  /** @type {any} */
  let first = {};
  try { first = JSON.parse(lines[kept[0]]); } catch { /* the check says what is wrong with it */ }
  return {
    size: kept.length,
    endpoint: () => (typeof first.url === "string" ? first.url : first.params ? "/v1/messages" : undefined),
    lineOf: (index) => kept[index] + 1,
    *requests(_, limit) {
      for (let index = 0; index < Math.min(kept.length, limit); index++) yield (index ? "," : "") + lines[kept[index]];
    },
  };
}

/** @param {string} model @param {string | null} system @param {string} prompt @param {number} maxTokens */
function chatRequest(model, system, prompt, maxTokens) {
  const messages = [...(system === null ? [] : [{ role: "system", content: system }]), { role: "user", content: prompt }];
  return { body: { model, messages, ...(maxTokens && { [maxTokensField(model)]: maxTokens }) } };
}

/** @param {string} model @param {string | null} system @param {string} prompt @param {number} maxTokens */
function messagesRequest(model, system, prompt, maxTokens) {
  return { params: { model, max_tokens: maxTokens, ...(system !== null && { system }), messages: [{ role: "user", content: prompt }] } };
}

/** Return the field with the most tokens of an answer, as `batchgate run` chooses it (tables/chat_requests.py). @param {string} model */
function maxTokensField(model) {
  return /^(ft:)?(o\d|gpt-(?!35)([5-9]|\d\d))/.test(model.slice(model.lastIndexOf("/") + 1)) ? "max_completion_tokens" : "max_tokens";
}

/** Make a request of Chat Completions or Messages of each row of a CSV file. @param {string} text @returns {Source} */
function csvSource(text) {
  const [names, ...rows] = readCsv(text);
  if (!names || !rows.length) throw new Error("The file needs a first line with the names of its columns, and rows.");
  const columns = names.map((name) => name.trim());
  return {
    size: rows.length,
    columns,
    lineOf: (index) => index + 1,
    endpoint: (options) => (options.api.value === "messages" ? "/v1/messages" : undefined),
    *requests(options, limit) {
      const chosen = columns.indexOf(options.id.value);
      const requestOf = options.api.value === "messages" ? messagesRequest : chatRequest;
      for (let index = 0; index < Math.min(rows.length, limit); index++) {
        const text = (/** @type {{ value: string }} */ template) => fillTemplate(template.value, columns, rows[index]);
        const system = options.system.value.trim() ? text(options.system) : null;
        const request = requestOf(options.model.value.trim(), system, text(options.template), Number(options.max_tokens.value));
        yield (index ? "," : "") + JSON.stringify({ custom_id: chosen < 0 ? `row-${index + 1}` : rows[index][chosen], ...request });
      }
    },
  };
}
