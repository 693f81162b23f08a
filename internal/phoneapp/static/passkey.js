// The passkey on this phone: made or used once when an account is added, used
// for each approval.

import { get, create, signal } from "./webauthn.js";
import { encode, decode, challenge, answerMessage, sign } from "./wire.js";

export { able, stop } from "./webauthn.js";

// make makes one; the phone that holds one of this person already cannot, and
// says so by InvalidStateError.
export const make = (options) => create(options, ["client-device"]);

// reuse uses the one that is there. It takes a tap of its own: one tap is good
// for one prompt in some browsers.
export const reuse = (options) => get(options);

// drop tells the phone that nobody knows a passkey that was made in vain, so
// that it is not offered.
export const drop = (rpId, credentialId) => signal("signalUnknownCredential", { rpId, credentialId });

export const known = (wrong) => wrong.name === "InvalidStateError";

// cancelled says that the person, or the time, ended the prompt.
export const cancelled = (wrong) => wrong.name === "NotAllowedError" || wrong.name === "AbortError";

// approve signs what was shown and typed with both keys: the passkey first,
// then the phone's own over what the passkey made of it.
export async function approve(account, request, number) {
  const over = await challenge({
    tenant: account.tenant.id, user: account.user.id, request: request.id, nonce: request.nonce, number,
    context: request.context, phone: account.phone,
  });
  const assertion = await get({
    publicKey: {
      challenge: encode(over), rpId: account.rpId, timeout: 60000, userVerification: "required",
      allowCredentials: [{ type: "public-key", id: account.passkey }],
    },
  }, { hints: ["client-device"] });
  const { authenticatorData, signature } = assertion.response;
  return { number, assertion, signature: await sign(account.key, answerMessage(over, decode(authenticatorData), decode(signature))) };
}
