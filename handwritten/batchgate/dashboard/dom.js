// Makes elements. Everything from outside becomes a text node, never markup: prompts and answers are hostile input.

/** Make an element: `on…` props are listeners, true is an attribute without a value, null and false leave it out. */
export function h(name, props, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  return fill(element, ...children);
}

/** Replace the children of an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Put a text into an element, unless it is there already. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Show a dialog with a form; resolves to its data when it is confirmed, and to null when it is closed. */
export function ask(title, fields, confirm, { danger = false } = {}) {
  return new Promise((resolve) => {
    const form = h("form", { method: "dialog" },
      h("h2", {}, title), ...fields,
      h("div", { class: "actions" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "submit", class: danger ? "danger" : "primary" }, confirm)));
    const dialog = h("dialog", { "aria-label": title }, form);
    let data = null;
    form.addEventListener("submit", () => { data = Object.fromEntries(new FormData(form)); });
    dialog.addEventListener("close", () => { dialog.remove(); resolve(data); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Make a labelled field of a form. */
export function field(label, input, hint) {
  return h("label", { class: "field" }, h("span", {}, label), input, hint && h("small", {}, hint));
}

/** Make a select with options, given as texts or pairs of value and text. */
export function select(props, options, chosen) {
  return h("select", props, options.map((option) => {
    const [value, text] = Array.isArray(option) ? option : [option, option];
    return h("option", { value, selected: value === chosen }, text);
  }));
}

/** Show a short message, which goes by itself. */
export function notify(text, kind = "info") {
  let shown = document.querySelector(".notices");
  if (!shown) document.body.append(shown = h("div", { class: "notices", role: "status", "aria-live": "polite" }));
  const notice = h("div", { class: `notice ${kind}` }, text);
  shown.append(notice);
  setTimeout(() => notice.remove(), kind === "error" ? 9000 : 4000);
}

/** Make a button that runs an action, is disabled meanwhile, and says why the action failed. */
export function action(label, run, props = {}) {
  const button = h("button", { type: "button", ...props }, label);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try { await run(); } catch (error) { notify(error.message, "error"); } finally { button.disabled = false; }
  });
  return button;
}

/** Save content as a file. */
export function save(parts, filename, type) {
  const link = h("a", { href: URL.createObjectURL(new Blob(parts, { type })), download: filename });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
