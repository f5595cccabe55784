// Files and Batches with openai: prints one line for each step; test_sdk_languages.py has the expected lines.

import OpenAI, { AuthenticationError, ConflictError, NotFoundError, toFile } from "openai";

const baseURL = `${process.env.BATCHGATE_URL}/openai/v1`;
const client = new OpenAI({ baseURL, apiKey: process.env.BATCHGATE_API_KEY ?? "", maxRetries: 0 });
const FINAL = ["completed", "failed", "expired", "cancelled"];

function line(customId: string, model: string, content: unknown = `I am ${customId}`): string {
  const body = { model, messages: [{ role: "user", content }] };
  return JSON.stringify({ custom_id: customId, method: "POST", url: "/v1/chat/completions", body }) + "\n";
}

async function create(...lines: string[]) {
  const content = Buffer.from(lines.join(""));
  const file = await client.files.create({ file: await toFile(content, "requests.jsonl"), purpose: "batch" });
  return client.batches.create({
    input_file_id: file.id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
    metadata: { job: "nightly" },
  });
}

async function waitFor(id: string, ...statuses: string[]) {
  let batch = await client.batches.retrieve(id);
  while (!statuses.includes(batch.status)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    batch = await client.batches.retrieve(id);
  }
  return batch;
}

async function* readLines(fileId: string | undefined) {
  if (fileId === undefined) return;
  let rest = "";
  const { body } = await client.files.content(fileId);
  for await (const text of body!.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield JSON.parse(line);
  }
}

async function createAndRead(): Promise<string> {
  const created = await create(line("a", "simulated"), line("b", "simulated"), line("c", "simulated", 5));
  console.log(`created: ${created.status}, job ${created.metadata?.job}`);
  const batch = await waitFor(created.id, ...FINAL);
  console.log(`${batch.status}: ${batch.request_counts?.completed} completed, ${batch.request_counts?.failed} failed`);
  for await (const { custom_id, response } of readLines(batch.output_file_id)) {
    const answer = response.body as OpenAI.ChatCompletion;
    console.log(`${custom_id}: ${answer.choices[0]?.message.content}`);
  }
  for await (const { custom_id, response } of readLines(batch.error_file_id)) {
    console.log(`${custom_id}: ${response.status_code} ${response.body.error.type}`);
  }
  return created.id;
}

async function list(ids: string[]): Promise<void> {
  const batches: number[] = [];
  for await (const batch of client.batches.list({ limit: 2 })) batches.push(ids.indexOf(batch.id));
  console.log(`listed: ${batches.join(" ")}`);
  const inputs: string[] = [];
  for await (const file of client.files.list({ limit: 2, purpose: "batch", order: "asc" })) inputs.push(file.filename);
  console.log(`input files: ${inputs.join(" ")}`);
}

async function cancel(): Promise<void> {
  const { id } = await create(...Array.from({ length: 100 }, (_, n) => line(String(n), "slow")));
  await waitFor(id, "in_progress");
  console.log(`cancel: ${(await client.batches.cancel(id)).status}`);
  const batch = await waitFor(id, ...FINAL);
  let notRun = 0;
  for await (const { error } of readLines(batch.error_file_id)) notRun += Number(error.code === "batch_cancelled");
  const agree = notRun > 0 && (batch.request_counts?.completed ?? 0) + notRun === 100;
  console.log(`${batch.status}: output and error file ${agree ? "have" : "lack"} all requests`);
}

async function raisesErrors(ended: string): Promise<void> {
  try {
    await client.batches.cancel(ended, { maxRetries: 2 }); // the gateway counts the calls: there must be one
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    console.log(`cancel after the end: ${error.status} ${error.type}`);
  }
  try {
    await client.batches.retrieve("batch_nobody");
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
    console.log(`not found: ${error.status} ${error.type}, param ${error.param}`);
  }
  try {
    await new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).batches.list();
  } catch (error) {
    if (!(error instanceof AuthenticationError)) throw error;
    console.log(`wrong key: ${error.status} ${error.code}`);
  }
}

const ids = [await createAndRead()];
while (ids.length < 5) ids.push((await create(line("a", "simulated"))).id);
await list(ids);
await cancel();
const file = await client.files.create({ file: await toFile(Buffer.from("text"), "notes.txt"), purpose: "user_data" });
console.log(`delete: ${(await client.files.delete(file.id)).deleted}`);
await raisesErrors(ids[0]!);
