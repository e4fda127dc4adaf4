// Prints a client assertion as MSAL makes it for Entra (PS256, `x5t#S256`), good for ten minutes:
// `node assertion.mjs KEY.pem CERTIFICATE.pem CLIENT-ID TOKEN-URL`; reads RIVALS_WORK.

import { createHash, createPrivateKey, randomUUID, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { SignJWT } = createRequire(`${process.env.RIVALS_WORK}/npm/`)("jose");
const [keyFile, certificateFile, clientId, tokenUrl] = process.argv.slice(2);

const der = new X509Certificate(readFileSync(certificateFile)).raw;
const thumbprint = createHash("sha256").update(der).digest("base64url");
const assertion = await new SignJWT({})
  .setProtectedHeader({ alg: "PS256", typ: "JWT", "x5t#S256": thumbprint })
  .setIssuer(clientId)
  .setSubject(clientId)
  .setAudience(tokenUrl)
  .setJti(randomUUID())
  .setIssuedAt()
  .setNotBefore("0s")
  .setExpirationTime("10m")
  .sign(createPrivateKey(readFileSync(keyFile)));
process.stdout.write(assertion);
