// Asks a server for tokens and says what they are, as JSON; fails unless each is a valid RS256 token
// of a 2048-bit key. `node check.mjs METHOD URL FORM-FILE JWKS-URL`; reads RIVALS_WORK.

import { strict as assert } from "node:assert";
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

const jose = createRequire(`${process.env.RIVALS_WORK}/npm/`)("jose");
const [method, url, formFile, jwksUrl] = process.argv.slice(2);

async function json(...request) {
  const response = await fetch(...request);
  const text = await response.text();
  assert.equal(response.status, 200, `${url} answered ${response.status}: ${text.slice(0, 300)}`);
  return JSON.parse(text);
}

async function token() {
  const post = {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: method === "POST" ? readFileSync(formFile) : undefined,
  };
  const answer = await json(url, method === "POST" ? post : { headers: { metadata: "true" } });
  return answer.access_token;
}

async function verify(text, keys) {
  const { alg, kid } = jose.decodeProtectedHeader(text);
  assert.equal(alg, "RS256", `signed with ${alg}`);
  const key = keys.find((candidate) => kid === undefined || candidate.kid === kid);
  assert.ok(key, `no published key has the kid ${kid}`);
  // One rival publishes the private half too: only the public one is taken.
  const publicKey = createPublicKey({ key: { kty: key.kty, n: key.n, e: key.e }, format: "jwk" });
  assert.equal(publicKey.asymmetricKeyDetails.modulusLength, 2048);
  const { payload } = await jose.jwtVerify(text, publicKey, { algorithms: ["RS256"] });
  assert.ok(payload.aud, "no audience");
  assert.ok(payload.exp, "no expiry");
  return payload;
}

const { keys } = await json(jwksUrl);
const at_once = [await token(), await token()];
// RS256 is deterministic: a server without a unique claim signs the same bytes until the second ends.
await sleep(1_100);
const later = await token();
for (const text of [...at_once, later]) await verify(text, keys);
assert.notEqual(at_once[0], later, "the answer after a second is the same token: it was not minted again");
const unique = at_once[0] !== at_once[1];
console.log(JSON.stringify({ unique, token_bytes: later.length }));
