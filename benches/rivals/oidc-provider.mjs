// oidc-provider as a server of JWT access tokens for one client: `node oidc-provider.mjs`.
// Reads RIVALS_WORK (npm/ in it has the packages), CLIENT_ID, CLIENT_SECRET and RESOURCE.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const { Provider } = createRequire(`${process.env.RIVALS_WORK}/npm/`)("oidc-provider");
const { CLIENT_ID, CLIENT_SECRET, RESOURCE } = process.env;

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = { ...privateKey.export({ format: "jwk" }), alg: "RS256", use: "sig" };
const resourceServer = {
  scope: "",
  audience: RESOURCE,
  accessTokenFormat: "jwt",
  // As long as mintbench's, so that no server has shorter numbers to write.
  accessTokenTTL: 86_400,
  jwt: { sign: { alg: "RS256" } },
};

// The issuer holds the port, which is known only once the socket listens.
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT_ID,
        client_secret: CLIENT_SECRET,
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: "client_secret_post",
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: { enabled: true, getResourceServerInfo: () => resourceServer },
    },
    jwks: { keys: [key] },
  });
  server.on("request", provider.callback());
  console.log(`token ${issuer}/token`);
  console.log("ready");
});
