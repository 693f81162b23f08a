// A relying party on oauth4webapi, steered by JSON lines on standard input and
// answering with one JSON line each. It knows OpenID Connect and nothing else.
import * as oauth from "oauth4webapi";
import { createInterface } from "node:readline";

const options = { [oauth.allowInsecureRequests]: true };
let as, client, clientAuth, redirectURI, verifier, state, nonce, tokens;

const steps = {
  async discover({ issuer, clientID, secret, redirect }) {
    const at = new URL(issuer);
    as = await oauth.processDiscoveryResponse(at, await oauth.discoveryRequest(at, options));
    client = { client_id: clientID };
    clientAuth = secret ? oauth.ClientSecretBasic(secret) : oauth.None();
    redirectURI = redirect;
    return { issuer: as.issuer, endpoints: [as.authorization_endpoint, as.token_endpoint, as.jwks_uri] };
  },

  async authorize({ scope, extra = {} }) {
    verifier = oauth.generateRandomCodeVerifier();
    state = oauth.generateRandomState();
    nonce = oauth.generateRandomNonce();
    const to = new URL(as.authorization_endpoint);
    const params = {
      client_id: client.client_id, redirect_uri: redirectURI, response_type: "code", scope, state, nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256", ...extra,
    };
    for (const [name, value] of Object.entries(params)) if (value !== "") to.searchParams.set(name, value);
    return { url: to.href };
  },

  // callback checks the answer (iss included: RFC 9207) and redeems the code.
  async callback({ url, verifier: other }) {
    const params = oauth.validateAuthResponse(as, client, new URL(url), state);
    const answer = await oauth.authorizationCodeGrantRequest(
      as, client, clientAuth, params, redirectURI, other ?? verifier, options);
    tokens = await oauth.processAuthorizationCodeResponse(as, client, answer, { expectedNonce: nonce, requireIdToken: true });
    await oauth.validateApplicationLevelSignature(as, answer, options);
    return { claims: oauth.getValidatedIdTokenClaims(tokens), scope: tokens.scope, refresh: Boolean(tokens.refresh_token) };
  },

  async userinfo() {
    const claims = oauth.getValidatedIdTokenClaims(tokens);
    const answer = await oauth.userInfoRequest(as, client, tokens.access_token, options);
    return { userinfo: await oauth.processUserInfoResponse(as, client, claims.sub, answer) };
  },

  async refresh() {
    const answer = await oauth.refreshTokenGrantRequest(as, client, clientAuth, tokens.refresh_token, options);
    const next = await oauth.processRefreshTokenResponse(as, client, answer);
    const rotated = next.refresh_token !== tokens.refresh_token;
    tokens = { ...tokens, ...next };
    return { rotated };
  },

  async introspect() {
    const answer = await oauth.introspectionRequest(as, client, clientAuth, tokens.access_token, options);
    return { introspection: await oauth.processIntrospectionResponse(as, client, answer) };
  },

  async revoke() {
    await oauth.processRevocationResponse(
      await oauth.revocationRequest(as, client, clientAuth, tokens.refresh_token ?? tokens.access_token, options));
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { step, ...input } = JSON.parse(line);
  let out;
  try {
    out = { ok: true, ...(await steps[step](input)) };
  } catch (e) {
    out = { ok: false, name: e.name, message: e.message, error: e.error, code: e.code, status: e.status, cause: String(e.cause?.message ?? "") };
  }
  console.log(JSON.stringify(out));
}
