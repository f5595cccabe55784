// Finds the prompt and the answer in the lines of a batch, whatever their format.

/** Return the text of a content, which may be a text or a list of parts. */
function textOf(content) {
  if (content === null || content === undefined) return "";
  if (typeof content === "string") return content;
  if (Array.isArray(content)) return content.map(partText).filter(Boolean).join("\n");
  return partText(content);
}

function partText(part) {
  if (typeof part === "string") return part;
  if (typeof part?.text === "string") return part.text;
  if (Array.isArray(part?.content) || typeof part?.content === "string") return textOf(part.content);
  if (part?.functionCall ?? (part?.type === "tool_use" || part?.type === "function_call")) return `${part.name ?? part.functionCall?.name}(${JSON.stringify(part.input ?? part.arguments ?? part.functionCall?.args)})`;
  return part?.type ? `[${part.type}]` : part?.inlineData ? "[data]" : "";
}

/** Return what a request asks: its last message of a person, with what it says before in short. */
export function prompt(request) {
  const body = request.params ?? request.body ?? {};
  const messages = body.messages ?? (Array.isArray(body.input) && typeof body.input[0] === "object" ? body.input : null);
  if (messages?.length) return textOf((messages.findLast((message) => message.role === "user") ?? messages.at(-1)).content);
  if (body.contents?.length) return body.contents.map((content) => textOf(content.parts)).join("\n");
  if (body.content?.parts) return textOf(body.content.parts);
  return textOf(body.input ?? body.prompt ?? body.texts) || JSON.stringify(body);
}

/** Return the system prompt of a request, if it has one. */
export function system(request) {
  const body = request.params ?? request.body ?? {};
  const message = body.messages?.find((each) => each.role === "system" || each.role === "developer");
  return textOf(body.system ?? message?.content ?? body.instructions ?? body.systemInstruction?.parts);
}

/** Return what was answered, or why there is no answer. */
export function answer(result) {
  if (!result) return "";
  const inner = result.result ?? {};
  const message = inner.message ?? result.response?.body;
  if (inner.error || result.error) return errorText(inner.error ?? result.error);
  if (!message) return "";
  if (message.error) return errorText(message.error);
  if (message.choices) return message.choices.map((choice) => textOf(choice.message?.content ?? choice.text) || toolCalls(choice.message)).join("\n\n");
  if (message.output) return textOf(message.output.message?.content ?? message.output);
  if (message.candidates) return message.candidates.map((candidate) => textOf(candidate.content?.parts)).join("\n\n");
  if (message.data?.[0]?.embedding ?? message.embedding) return `[${(message.data?.[0]?.embedding ?? message.embedding.values ?? []).slice(0, 8).map((number) => Number(number).toFixed(3)).join(", ")}, …]`;
  return textOf(message.content) || JSON.stringify(message);
}

const toolCalls = (message) => (message?.tool_calls ?? []).map((each) => `${each.function?.name}(${each.function?.arguments})`).join("\n");
const errorText = (error) => error.error?.message ?? error.message ?? JSON.stringify(error);
