// The JavaScript SDK's part: asks for tokens and hands what it got to checks.py, which judges it,
// as one JSON object per line. Reads APP_CLIENT_ID, OTHER_CLIENT_ID and SDK_WORK.

import { createRequire } from "node:module";

const require = createRequire(`${process.env.SDK_WORK}/npm/`);
const { ManagedIdentityCredential } = require("@azure/identity");

const once = { retryOptions: { maxRetries: 0 } };

async function ask(sentence, who, audience, options) {
  const record = { sentence, who, audience };
  try {
    const credential = new ManagedIdentityCredential({ ...once, ...options });
    record.token = (await credential.getToken(`${audience}/.default`)).token;
  } catch (error) {
    record.error = `${error.name}: ${error.message}`;
  }
  console.log(JSON.stringify(record));
}

const vault = "https://vault.azure.net";
const arm = "https://management.azure.com";
await ask("@azure/identity gets a token of the system-assigned identity", "system", arm, {});
await ask("@azure/identity gets a token of a user-assigned identity by its client_id", "app", vault, {
  clientId: process.env.APP_CLIENT_ID,
});
await ask("@azure/identity gets a token of a user-assigned identity by its principal", "app", vault, {
  objectId: process.env.APP_PRINCIPAL_ID,
});
await ask("@azure/identity reports an identity that the machine has not", "nobody", vault, {
  clientId: process.env.OTHER_CLIENT_ID,
});
