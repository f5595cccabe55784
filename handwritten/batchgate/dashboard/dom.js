// Makes elements. Everything from outside becomes a text node, never markup: prompts and answers are hostile input.

/** @typedef {Node | string | number | false | null | undefined | any[]} Child */

/**
 * Make an element: `on…` props are listeners, true is an attribute without a value, null and false leave it out.
 * @template {keyof HTMLElementTagNameMap} N
 * @param {N} name
 * @param {Record<string, any> | null} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[N]}
 */
export function h(name, props, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") Object.assign(element, { value });
    else element.setAttribute(key, value === true ? "" : value);
  }
  return fill(element, ...children);
}

const CONTROLS = "a[href], button, input, select, textarea, summary, [tabindex]";
/** @param {Element} control */
const nameOf = (control) => control.getAttribute("aria-label") ?? control.textContent;

/**
 * Return what gives the focus back when the content of an element was replaced: to the control with the same name, or to the one in its place.
 * @param {Element} element
 */
function keepFocus(element) {
  const focused = /** @type {HTMLElement} */ (document.activeElement);
  if (!focused || focused === element || !element.contains(focused)) return () => {};
  const controls = () => [.../** @type {NodeListOf<HTMLElement>} */ (element.querySelectorAll(CONTROLS))];
  /** @param {Element} control */
  const isSame = (control) => nameOf(control) === nameOf(focused);
  const place = controls().indexOf(focused), turn = controls().filter(isSame).indexOf(focused);
  return () => {
    const found = element.contains(focused) ? focused : controls().filter(isSame)[turn] ?? controls()[place];
    if (found !== document.activeElement) found?.focus({ preventScroll: true });
  };
}

/**
 * Replace the children of an element; the focus stays where it is.
 * @template {Element} E
 * @param {E} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  const given = /** @type {any[]} */ (children).flat(3);
  const refocus = keepFocus(element);
  element.replaceChildren(...given.filter((child) => child !== null && child !== undefined && child !== false));
  refocus();
  return element;
}

/** Return what draws something again only if what it shows has changed, so that a screen reader does not read it again. */
export function redraws() {
  let last = "";
  return (/** @type {unknown} */ shown, /** @type {() => void} */ draw) => {
    const next = JSON.stringify(shown);
    if (next === last) return;
    last = next;
    draw();
  };
}

/** Put a text into an element, unless it is there already. @param {Node} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Show a dialog with a form; resolves to its data when it is confirmed, and to null when it is closed.
 * @param {string} title
 * @param {Child[]} fields
 * @param {string} confirm
 * @returns {Promise<Record<string, any> | null>}
 */
export function ask(title, fields, confirm, { danger = false } = {}) {
  return new Promise((resolve) => {
    const form = h("form", { method: "dialog" },
      h("h2", {}, title), ...fields,
      h("div", { class: "actions" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "submit", class: danger ? "danger" : "primary" }, confirm)));
    const dialog = h("dialog", { "aria-label": title }, form);
    /** @type {Record<string, any> | null} */
    let data = null;
    form.addEventListener("submit", () => { data = Object.fromEntries(new FormData(form)); });
    const refocus = keepFocus(document.body);
    dialog.addEventListener("close", () => {
      document.body.append(notices);
      dialog.remove();
      refocus();
      resolve(data);
    });
    dialog.append(notices); // outside of an open dialog nothing is read aloud
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Make a labelled field of a form. @param {string} label @param {HTMLElement} input @param {string} [hint] */
export function field(label, input, hint) {
  input.id ||= `field-${++fields}`;
  if (hint) input.setAttribute("aria-describedby", `${input.id}-hint ${input.getAttribute("aria-describedby") ?? ""}`.trim());
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input, hint && h("small", { id: `${input.id}-hint` }, hint));
}

let fields = 0;

/** Make a frame that scrolls sideways, also with the keyboard. @param {string} label @param {HTMLElement} table */
export const scroll = (label, table) => h("div", { class: "scroll", role: "group", "aria-label": label, tabindex: 0 }, table);

/** Make the head of a column of buttons. */
export const actionsHead = () => h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "Actions"));

/**
 * Make a select with options, given as texts or pairs of value and text.
 * @param {Record<string, any>} props
 * @param {(string | string[])[]} options
 * @param {string | null} chosen
 */
export function select(props, options, chosen) {
  return h("select", props, options.map((option) => {
    const [value, text] = Array.isArray(option) ? option : [option, option];
    return h("option", { value, selected: value === chosen }, text);
  }));
}

/** What shows short messages: a part of each page, since a screen reader reads only what changes in a part that was there before. */
export const notices = h("div", { class: "notices", role: "status" });

/** Show a short message, which goes by itself. @param {string} text */
export function notify(text, kind = "info") {
  const notice = h("div", { class: `notice ${kind}` }, text);
  notices.append(notice);
  setTimeout(() => notice.remove(), kind === "error" ? 9000 : 4000);
}

/**
 * Make a button that runs an action, does nothing meanwhile, and says why the action failed.
 * @param {string} label
 * @param {() => unknown} run
 * @param {Record<string, any>} props
 */
export function action(label, run, props = {}) {
  const button = h("button", { type: "button", ...props }, label);
  button.addEventListener("click", async () => {
    if (button.ariaDisabled) return;
    button.ariaDisabled = "true"; // unlike a disabled button, it keeps the focus
    try { await run(); } catch (error) { notify(error.message, "error"); } finally { button.ariaDisabled = null; }
  });
  return button;
}

/** Save content as a file. @param {BlobPart[]} parts @param {string} filename @param {string} type */
export function save(parts, filename, type) {
  const link = h("a", { href: URL.createObjectURL(new Blob(parts, { type })), download: filename });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
