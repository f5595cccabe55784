// Message Batches and Files with @anthropic-ai/sdk: prints one line for each step; test_sdk_languages.py has the expected lines.

import Anthropic, { AuthenticationError, NotFoundError, toFile } from "@anthropic-ai/sdk";

const baseURL = `${process.env.BATCHGATE_URL}/anthropic`;
const apiKey = process.env.BATCHGATE_API_KEY ?? "";
const client = new Anthropic({ baseURL, apiKey, maxRetries: 0 });
const batches = client.messages.batches;

type Request = Anthropic.Messages.BatchCreateParams.Request;

function request(customId: string, model = "claude-sonnet-4-5", maxTokens = 64): Request {
  const messages = [{ role: "user" as const, content: `I am ${customId}` }];
  return { custom_id: customId, params: { model, max_tokens: maxTokens, messages } };
}

async function waitUntilEnded(id: string) {
  let batch = await batches.retrieve(id);
  while (batch.processing_status !== "ended") {
    await new Promise((resolve) => setTimeout(resolve, 20));
    batch = await batches.retrieve(id);
  }
  return batch;
}

async function createAndRead(): Promise<string> {
  const tooShort = request("c", "claude-sonnet-4-5", 0); // the simulated model refuses it
  const created = await batches.create({ requests: [request("a"), request("b"), tooShort] });
  console.log(`created: ${created.processing_status}, ${created.request_counts.processing} processing`);
  const { succeeded, errored } = (await waitUntilEnded(created.id)).request_counts;
  console.log(`ended: ${succeeded} succeeded, ${errored} errored`);
  for await (const { custom_id, result } of await batches.results(created.id)) {
    if (result.type === "succeeded") {
      const [block] = result.message.content;
      console.log(`${custom_id}: ${block?.type === "text" ? block.text : block?.type}`);
    } else {
      console.log(`${custom_id}: ${result.type === "errored" ? result.error.error.type : result.type}`);
    }
  }
  return created.id;
}

async function list(ids: string[]): Promise<void> {
  const forward: number[] = [];
  for await (const batch of batches.list({ limit: 2 })) forward.push(ids.indexOf(batch.id));
  console.log(`listed: ${forward.join(" ")}`);
  const older: number[] = [];
  for await (const batch of batches.list({ limit: 2, after_id: ids[3] })) older.push(ids.indexOf(batch.id));
  console.log(`older than 3: ${older.join(" ")}`);
  const newer: number[] = [];
  for await (const batch of batches.list({ limit: 2, before_id: ids[0] })) newer.push(ids.indexOf(batch.id));
  console.log(`newer than 0: ${newer.join(" ")}`);
}

async function useFiles(): Promise<void> {
  const { files } = client;
  const ids: string[] = [];
  for (const name of ["0.txt", "1.txt", "2.txt"]) {
    ids.push((await files.upload({ file: await toFile(Buffer.from("text"), name, { type: "text/plain" }) })).id);
  }
  const file = await files.retrieveMetadata(ids[0]!);
  console.log(`file: ${file.filename} ${file.mime_type} ${file.size_bytes}`);
  console.log(`content: ${await (await files.download(file.id)).text()}`);
  const listed: number[] = [];
  for await (const { id } of files.list({ limit: 2 })) listed.push(ids.indexOf(id));
  console.log(`files: ${listed.join(" ")}`);
  console.log(`delete file: ${(await files.delete(file.id)).type}`);
}

async function cancel(): Promise<string> {
  const requests = Array.from({ length: 100 }, (_, n) => request(String(n), "slow"));
  const canceling = await batches.cancel((await batches.create({ requests })).id);
  console.log(`cancel: ${canceling.processing_status}`);
  const counts = (await waitUntilEnded(canceling.id)).request_counts;
  let canceled = 0;
  for await (const { result } of await batches.results(canceling.id)) canceled += Number(result.type === "canceled");
  const agree = canceled > 0 && canceled === counts.canceled && counts.succeeded + canceled === 100;
  console.log(`canceled: the counts ${agree ? "agree" : "differ"}`);
  console.log(`cancel after the end: ${(await batches.cancel(canceling.id)).processing_status}`);
  return canceling.id;
}

async function raisesErrors(deleted: string): Promise<void> {
  try {
    await batches.retrieve(deleted);
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
    console.log(`not found: ${error.status} ${error.type}, ${error.requestID?.slice(0, 4)}`);
  }
  try {
    await new Anthropic({ baseURL, apiKey: "wrong", maxRetries: 0 }).messages.batches.list();
  } catch (error) {
    if (!(error instanceof AuthenticationError)) throw error;
    console.log(`wrong key: ${error.status} ${error.type}`);
  }
}

const ids = [await createAndRead()];
while (ids.length < 5) ids.push((await batches.create({ requests: [request("a")] })).id);
await list(ids);
await useFiles();
const canceled = await cancel();
console.log(`delete: ${(await batches.delete(canceled)).type}`);
await raisesErrors(canceled);
const withToken = new Anthropic({ baseURL, apiKey: null, authToken: apiKey, maxRetries: 0 });
console.log(`auth token: ${(await withToken.messages.batches.retrieve(ids[0]!)).id === ids[0] ? "accepted" : "refused"}`);
