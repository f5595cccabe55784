// Verifies an event as a receiver does, then a body that was changed on its way.
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const { SECRET, BODY, HEADERS } = process.env;
const webhook = new Webhook(SECRET);
const headers = JSON.parse(HEADERS);
console.log(`verified: ${webhook.verify(BODY, headers).type}`);
try {
  webhook.verify(`${BODY} `, headers);
  console.log("a changed body is verified");
} catch (error) {
  if (!(error instanceof WebhookVerificationError)) throw error;
  console.log(`refused: ${error.message}`);
}
