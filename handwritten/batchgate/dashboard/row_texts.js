// Finds the prompt and the answer in the lines of a batch, whatever their format.

/** Return the text of a content, which may be a text or a list of parts. @param {any} content @returns {string} */
function textOf(content) {
  if (content === null || content === undefined) return "";
  if (typeof content === "string") return content;
  if (Array.isArray(content)) return content.map(partText).filter(Boolean).join("\n");
  return partText(content);
}

/** @param {any} part @returns {string} */
function partText(part) {
  if (typeof part === "string") return part;
  if (part?.thought || part?.type === "reasoning_text") return "";
  if (typeof part?.text === "string") return part.text;
  if (typeof part?.refusal === "string") return part.refusal;
  if (Array.isArray(part?.content) || typeof part?.content === "string") return textOf(part.content);
  if (part?.functionCall ?? (part?.type === "tool_use" || part?.type === "function_call")) return `${part.name ?? part.functionCall?.name}(${JSON.stringify(part.input ?? part.arguments ?? part.functionCall?.args)})`;
  return part?.type ? `[${part.type}]` : part?.inlineData ? "[data]" : "";
}

/** Return what reads a line as a text; a line that is unlike those of any API is shown as JSON. @param {(line: any) => unknown} read */
const reader = (read) => (/** @type {unknown} */ line) => {
  try {
    return shown(read(line));
  } catch {
    return JSON.stringify(line);
  }
};

/** @param {unknown} value @returns {string} */
const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** Return what a request asks: its last message of a person, with what it says before in short. */
export const prompt = reader((request) => {
  const body = request.params ?? request.body ?? {};
  const messages = body.messages ?? (Array.isArray(body.input) && typeof body.input[0] === "object" && !Array.isArray(body.input[0]) ? body.input : null);
  if (messages?.length) return textOf((messages.findLast((/** @type {any} */ message) => message.role === "user") ?? messages.at(-1)).content);
  if (body.contents?.length) return body.contents.map((/** @type {any} */ content) => textOf(content.parts)).join("\n");
  if (body.content?.parts) return textOf(body.content.parts);
  return textOf(body.input ?? body.prompt ?? body.texts) || JSON.stringify(body);
});

/** Return the system prompt of a request, if it has one. */
export const system = reader((request) => {
  const body = request.params ?? request.body ?? {};
  const message = body.messages?.find((/** @type {any} */ each) => each.role === "system" || each.role === "developer");
  return textOf(body.system ?? message?.content ?? body.instructions ?? body.systemInstruction?.parts);
});

/** Return what was answered, or why there is no answer. */
export const answer = reader((result) => {
  if (!result) return "";
  const inner = result.result ?? {};
  const message = inner.message ?? result.response?.body;
  if (inner.error || result.error) return errorText(inner.error ?? result.error);
  if (!message) return "";
  if (message.error) return errorText(message.error);
  if (message.choices) return message.choices.map(choiceText).join("\n\n");
  if (message.output) return textOf(message.output.message?.content ?? message.output);
  if (message.candidates) return message.candidates.map((/** @type {any} */ candidate) => textOf(candidate.content?.parts)).join("\n\n");
  const embedding = message.data?.[0]?.embedding ?? (Array.isArray(message.embedding) ? message.embedding : message.embedding?.values);
  if (embedding) return embeddingText(embedding);
  return textOf(message.content) || JSON.stringify(message);
});

/** @param {any} choice */
const choiceText = (choice) => textOf(choice.message?.content ?? choice.text) || toolCalls(choice.message) || (choice.message?.refusal ?? "");
/** @param {any} message */
const toolCalls = (message) => (message?.tool_calls ?? []).map((/** @type {any} */ each) => `${each.function?.name}(${each.function?.arguments})`).join("\n");
/** @param {any} error */
const errorText = (error) => error.error?.message ?? error.message ?? error;

/** Return the first numbers of an embedding, which may be the base64 of 32-bit numbers. @param {string | number[]} embedding */
function embeddingText(embedding) {
  const numbers = typeof embedding === "string" ? decoded(embedding.slice(0, 48)) : embedding;
  return `[${numbers.slice(0, 8).map((number) => Number(number).toFixed(3)).join(", ")}${numbers.length > 8 ? ", …" : ""}]`;
}

/** @param {string} base64 */
function decoded(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, index) => view.getFloat32(4 * index, true));
}
