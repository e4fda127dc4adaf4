// Asks for one token as most programs do, and prints what came of it as one line of JSON.

import { createRequire } from "node:module";

// The packages are where the script put them, not beside this file.
const require = createRequire(`${process.env.NETNS_WORK}/js/`);
const { ManagedIdentityCredential } = require("@azure/identity");

const began = performance.now();
let error = null;
try {
  await new ManagedIdentityCredential().getToken("https://vault.azure.net/.default");
} catch (failed) {
  error = `${failed.name}: ${failed.message}`;
}
console.log(JSON.stringify({ error, seconds: (performance.now() - began) / 1000 }));
// Connections that still wait would keep the process.
process.exit(0);
