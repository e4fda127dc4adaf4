// The JavaScript SDK's part: asks for tokens and hands what it got to checks.py, which judges it,
// as one JSON object per line. Reads APP_CLIENT_ID, OTHER_CLIENT_ID, AUTHORITY_HOST, OPERATOR and SDK_WORK.

import { X509Certificate } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.SDK_WORK}/npm/`);
const { ManagedIdentityCredential, WorkloadIdentityCredential } = require("@azure/identity");
const { ConfidentialClientApplication } = require("@azure/msal-node");

const once = { retryOptions: { maxRetries: 0 } };

async function tell(sentence, who, audience, token) {
  const record = { sentence, who, audience };
  try {
    record.token = await token();
  } catch (error) {
    record.error = `${error.name}: ${error.message}`;
  }
  console.log(JSON.stringify(record));
}

async function ask(sentence, who, audience, options) {
  await tell(sentence, who, audience, async () => {
    const credential = new ManagedIdentityCredential({ ...once, ...options });
    return (await credential.getToken(`${audience}/.default`)).token;
  });
}

// Every name is this machine: that of a region below `localhost` resolves nowhere else either.
function send(method, url, { headers, body } = {}) {
  const lookup = (_, { all }, done) =>
    all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method, headers, lookup }, async (answer) => {
      const text = (await answer.toArray()).join("");
      resolve({ status: answer.statusCode, headers: answer.headers, body: JSON.parse(text) });
    });
    request.on("error", reject).end(body);
  });
}

// With a region, MSAL asks that region's token service, at a path that ends in a slash.
async function tokenInRegion(audience) {
  const host = process.env.AUTHORITY_HOST;
  const { client_id, tenant_id } = JSON.parse(readFileSync(`${process.env.OPERATOR}.json`));
  const pem = readFileSync(`${process.env.OPERATOR}.pem`, "utf8");
  const application = new ConfidentialClientApplication({
    auth: {
      clientId: client_id,
      authority: `https://${host}/${tenant_id}`,
      knownAuthorities: [host],
      clientCertificate: {
        thumbprintSha256: new X509Certificate(pem).fingerprint256.replaceAll(":", ""),
        privateKey: pem.match(/-+BEGIN PRIVATE KEY.*END PRIVATE KEY-+/s)[0],
      },
    },
    system: {
      networkClient: {
        sendGetRequestAsync: (url, options) => send("GET", url, options),
        sendPostRequestAsync: (url, options) => send("POST", url, options),
      },
    },
  });
  const request = { scopes: [`${audience}/.default`], azureRegion: "westus2" };
  return (await application.acquireTokenByClientCredential(request)).accessToken;
}

// In the environment of a program of App Service.
async function tokenOfAppService(audience, options) {
  process.env.IDENTITY_ENDPOINT = process.env.APP_SERVICE_ENDPOINT;
  process.env.IDENTITY_HEADER = process.env.APP_SERVICE_HEADER;
  try {
    const credential = new ManagedIdentityCredential({ ...once, ...options });
    return (await credential.getToken(`${audience}/.default`)).token;
  } finally {
    delete process.env.IDENTITY_ENDPOINT;
    delete process.env.IDENTITY_HEADER;
  }
}

async function tokenForOneOfTheMachine(audience) {
  const machine = new ManagedIdentityCredential(once);
  const { token } = await machine.getToken("api://AzureADTokenExchange/.default");
  const { tenant_id: tenantId } = JSON.parse(readFileSync(`${process.env.OPERATOR}.json`));
  const tokenFilePath = `${process.env.SDK_WORK}/federated-token`;
  writeFileSync(tokenFilePath, token, { mode: 0o600 });
  try {
    const credential = new WorkloadIdentityCredential({
      tenantId,
      clientId: process.env.APP_CLIENT_ID,
      tokenFilePath,
      authorityHost: `https://${process.env.AUTHORITY_HOST}`,
      disableInstanceDiscovery: true,
    });
    return (await credential.getToken(`${audience}/.default`)).token;
  } finally {
    rmSync(tokenFilePath);
  }
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
await tell("msal-node with a region logs in with a certificate", "operator", arm, () => tokenInRegion(arm));
await tell("@azure/identity gets a token from App Service", "app", vault, () =>
  tokenOfAppService(vault, { clientId: process.env.APP_CLIENT_ID }));
await tell("@azure/identity exchanges a token of the machine for one of another identity", "app", vault, () =>
  tokenForOneOfTheMachine(vault));
