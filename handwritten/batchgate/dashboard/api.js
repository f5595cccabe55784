// Calls the public API of the gateway. The browser sends the session's cookie, which scripts cannot read.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let signedOut = () => {};

/** Set what is called when the session has ended. */
export function onSignedOut(listener) {
  signedOut = listener;
}

/** Call an operation; raises `ApiError` with the gateway's own words. */
export async function call(method, path, body, { headers = {}, signal } = {}) {
  const options = { method, headers: { ...headers }, credentials: "same-origin", cache: "no-store", signal };
  if (body !== undefined) {
    options.headers["Content-Type"] ??= "application/json";
    options.body = body instanceof Blob ? body : JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The gateway cannot be reached.");
  }
  const text = await response.text();
  let answer = null;
  try { answer = JSON.parse(text); } catch { /* a proxy may answer in its own words */ }
  if (response.ok && answer !== null) return answer;
  const message = answer?.error?.message ?? answer?.message ?? `The gateway answered with status ${response.status}.`;
  if (response.status === 401 && path !== "api/session") signedOut(message);
  throw new ApiError(response.status, message);
}

export const get = (path, options) => call("GET", path, undefined, options);
export const post = (path, body, options) => call("POST", path, body, options);
export const put = (path, body) => call("PUT", path, body);
export const del = (path) => call("DELETE", path);

/** Make what creates batches: one that is sent again, since its answer was lost, has the same key and makes no second. */
export function creates() {
  const keys = new Map();
  return {
    /** Forget the keys, since what is sent has changed. */
    forget: () => keys.clear(),
    /** Send a create; `name` tells it from others. */
    async post(path, body, name) {
      if (!keys.has(name)) keys.set(name, newKey());
      const made = await post(path, body, { headers: { "Idempotency-Key": keys.get(name) } });
      keys.delete(name);
      return made;
    },
  };
}

// Not crypto.randomUUID, which browsers have only on HTTPS and localhost.
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Write a query; parameters without a value are left out. */
export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** Follow a stream of events until the returned function is called; handlers get the decoded data. */
export function follow(path, handlers) {
  let source = null, timer = null, closed = false;
  const open = () => {
    source = new EventSource(path);
    for (const [name, handler] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handler(JSON.parse(event.data)));
    }
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED || closed) return; // it connects again by itself
      timer = setTimeout(() => get("api/session").then((session) => session.caller && !closed && open(), () => {
        if (!closed) open();
      }), 3000);
    });
  };
  open();
  return () => {
    closed = true;
    clearTimeout(timer);
    source.close();
  };
}
