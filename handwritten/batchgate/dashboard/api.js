// Calls the public API of the gateway. The browser sends the session's cookie, which scripts cannot read.
// Types are comments, checked by tests/browser/test_types.py; those of calls are made from the API's document ("openapi").

/**
 * @typedef {import("openapi").paths} Paths
 * @typedef {import("openapi").components["schemas"]} Schemas
 * @typedef {"get" | "post" | "put" | "delete"} Method
 */
/**
 * The paths that have a method.
 * @template {Method} M
 * @typedef {{ [P in keyof Paths]: Paths[P][M] extends { responses: object } ? P : never }[keyof Paths]} PathOf
 */
/**
 * The parameters of a query; those without a value are left out.
 * @template Q
 * @typedef {{ [N in keyof Q]: Q[N] | "" | null }} Query
 */
/**
 * @template O
 * @typedef {O extends { requestBody: { content: { "application/json": infer B } } } ? { body: B | Blob } : {}} BodyOf
 */
/**
 * What an operation takes.
 * @template O
 * @typedef {O extends { parameters: infer A extends { path?: unknown, query?: unknown, header?: unknown } }
 *   ? Pick<A, "path" | "header"> & { query?: Query<A["query"]>, signal?: AbortSignal } & BodyOf<O> : never} Given
 */
/**
 * What an operation takes, as arguments: none if nothing is required.
 * @template O
 * @typedef {{} extends Given<O> ? [given?: Given<O>] : [given: Given<O>]} Arguments
 */
/**
 * @template O
 * @template {string} T
 * @typedef {O extends { responses: { 200: { content: { [Type in T]: infer A } } } } ? A : never} AnswerAs
 */
/**
 * @template O
 * @typedef {AnswerAs<O, "application/json">} Answer
 */
/** @typedef {{ path?: any, query?: any, header?: any, body?: unknown, signal?: AbortSignal }} AnyGiven */

export class ApiError extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @type {(reason: string) => void} */
let signedOut = () => {};

/** Set what is called when the session has ended. @param {(reason: string) => void} listener */
export function onSignedOut(listener) {
  signedOut = listener;
}

/** @param {string} path @param {AnyGiven} given */
function addressOf(path, { path: values, query = {} }) {
  const filled = path.slice(1).replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(values[name]));
  const asked = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return asked.length ? `${filled}?${new URLSearchParams(asked)}` : filled;
}

/**
 * Write the address of something to read.
 * @template {PathOf<"get">} P
 * @param {P} path
 * @param {Arguments<Paths[P]["get"]>} given
 */
export const address = (path, ...given) => addressOf(path, given[0] ?? {});

/** @param {Method} method @param {string} path @param {AnyGiven} given @returns {Promise<any>} */
async function send(method, path, given) {
  const { header = {}, body, signal } = given;
  /** @type {RequestInit & { headers: Record<string, string> }} */
  const options = { method: method.toUpperCase(), headers: { ...header }, credentials: "same-origin", cache: "no-store", signal };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = body instanceof Blob ? body : JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(addressOf(path, given), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The gateway cannot be reached.");
  }
  const text = await response.text();
  let answer = null;
  try { answer = JSON.parse(text); } catch { /* a proxy may answer in its own words */ }
  if (response.ok && answer !== null) return answer;
  const message = answer?.error?.message ?? answer?.message ?? `The gateway answered with status ${response.status}.`;
  if (response.status === 401 && path !== "/api/session") signedOut(message);
  throw new ApiError(response.status, message);
}

/**
 * Make what calls operations with a method; they raise `ApiError` with the gateway's own words.
 * @template {Method} M
 * @param {M} method
 * @returns {<P extends PathOf<M>>(path: P, ...given: Arguments<Paths[P][M]>) => Promise<Answer<Paths[P][M]>>}
 */
const calls = (method) => (path, ...given) => send(method, path, given[0] ?? {});

export const get = calls("get");
export const post = calls("post");
export const put = calls("put");
export const del = calls("delete");

/** @typedef {"/v1/batches" | "/api/batches/{batch_id}/retry"} CreatePath */

/** Make what creates batches: one that is sent again, since its answer was lost, has the same key and makes no second. */
export function creates() {
  const keys = new Map();
  return {
    /** Forget the keys, since what is sent has changed. */
    forget: () => keys.clear(),
    /**
     * Send a create; `name` tells it from others.
     * @template {CreatePath} P
     * @param {string} name
     * @param {P} path
     * @param {Given<Paths[P]["post"]>} given
     * @returns {Promise<Answer<Paths[P]["post"]>>}
     */
    async post(name, path, given) {
      if (!keys.has(name)) keys.set(name, newKey());
      /** @type {Paths[CreatePath]["post"]["parameters"]["header"]} */
      const header = { "Idempotency-Key": keys.get(name) };
      const made = await send("post", path, { ...given, header });
      keys.delete(name);
      return made;
    },
  };
}

// Not crypto.randomUUID, which browsers have only on HTTPS and localhost.
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * Follow a stream of events until the returned function is called; handlers get the decoded data.
 * @template {"/api/events" | "/api/batches/{batch_id}/events"} P
 * @param {P} path
 * @param {Given<Paths[P]["get"]>} given
 * @param {{ [N in keyof AnswerAs<Paths[P]["get"], "text/event-stream">]?: (data: AnswerAs<Paths[P]["get"], "text/event-stream">[N]) => void }} handlers
 */
export function follow(path, given, handlers) {
  /** @type {EventSource} */
  let source;
  let timer = 0, closed = false;
  const open = () => {
    source = new EventSource(addressOf(path, given));
    for (const [name, handler] of /** @type {[string, (data: any) => void][]} */ (Object.entries(handlers))) {
      source.addEventListener(name, (event) => handler(JSON.parse(event.data)));
    }
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED || closed) return; // it connects again by itself
      timer = setTimeout(() => get("/api/session").then((session) => session.caller && !closed && open(), () => {
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
