// The JavaScript SDK's part: one line for each check, in the words that judge.py reads.

import { createRequire } from "node:module";

// The packages are where run.sh put them, not beside this file.
const require = createRequire(`${process.env.NETNS_WORK}/js/`);
const { ManagedIdentityCredential } = require("@azure/identity");
const { SecretClient } = require("@azure/keyvault-secrets");

const arm = "https://management.azure.com";
const vault = "https://vault.azure.net";
const env = process.env;

function line(...fields) {
  console.log(fields.map((field) => field.replace(/[\t\r\n]/g, " ")).join("\t"));
}

function explain(error) {
  return `${error.name}: ${error.code ?? ""} ${error.message}`;
}

async function ask(audience, options) {
  const credential = new ManagedIdentityCredential(options);
  return (await credential.getToken(`${audience}/.default`)).token;
}

async function read(name, options) {
  const client = new SecretClient(env.VAULT_URL, new ManagedIdentityCredential(options));
  return (await client.getSecret(name)).value;
}

async function token(sentence, who, audience, options) {
  try {
    line("token", sentence, who, audience, await ask(audience, options));
  } catch (error) {
    line("failed", sentence, explain(error));
  }
}

async function noToken(sentence, options) {
  try {
    await ask(vault, options);
    line("failed", sentence, "it was given a token");
  } catch (error) {
    line("refused", sentence, "Identity not found", explain(error));
  }
}

async function secret(sentence, name, options) {
  try {
    line("secret", sentence, name, await read(name, options));
  } catch (error) {
    line("failed", sentence, explain(error));
  }
}

async function noSecret(sentence, name, options) {
  try {
    await read(name, options);
    line("failed", sentence, "it was given the secret");
  } catch (error) {
    line("refused", sentence, "Forbidden", explain(error));
  }
}

const own = { clientId: env.OWN_CLIENT_ID };
const shared = { clientId: env.SHARED_CLIENT_ID };

await token("a token of the system-assigned identity", "system", arm, {});
await token("a token by client id", "own", vault, own);
await token("a token by object id", "own", vault, { objectId: env.OWN_OBJECT_ID });
await token("a token by resource id", "own", vault, { resourceId: env.OWN_RESOURCE_ID });
await token("a token of the shared identity", "shared", arm, shared);
await noToken("no token by the other VM's client id", { clientId: env.OTHER_CLIENT_ID });
await noToken("no token by the other VM's object id", { objectId: env.OTHER_OBJECT_ID });
await noToken("no token by the other VM's resource id", { resourceId: env.OTHER_RESOURCE_ID });

if (env.VAULT_URL) {
  await secret("the system-assigned identity reads its secret", env.OWN_SECRET, {});
  await secret("the user-assigned identity reads its secret", env.OWN_SECRET, own);
  await secret("the shared identity reads its secret", env.SHARED_SECRET, shared);
  await noSecret("the system-assigned identity is refused the other VM's secret", env.OTHER_SECRET, {});
  await noSecret("the user-assigned identity is refused the other VM's secret", env.OTHER_SECRET, own);
  await noSecret("the shared identity is refused the VM's own secret", env.OWN_SECRET, shared);
}
