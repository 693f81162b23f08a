// The octets and the requests of the phone protocol (docs/phone-protocol.md),
// byte for byte as package phonewire has them. The worker holds this file, too.

const utf8 = new TextEncoder();
const curve = { name: "ECDSA", namedCurve: "P-256" };
const signing = { name: "ECDSA", hash: "SHA-256" };

export const bytes = (text) => utf8.encode(text);

export const encode = (data) =>
  btoa(String.fromCharCode(...new Uint8Array(data))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

export const decode = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

export const digest = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-256", data));

// fields is label, a zero byte, and each part after its length in four bytes.
export function fields(label, ...parts) {
  const head = bytes(label);
  const out = new Uint8Array(parts.reduce((n, p) => n + 4 + p.length, head.length + 1));
  const view = new DataView(out.buffer);
  out.set(head);
  let at = head.length + 1;
  for (const p of parts) {
    view.setUint32(at, p.length);
    out.set(p, at + 4);
    at += 4 + p.length;
  }
  return out;
}

// thumbprint is that of RFC 7638, of an EC key.
export const thumbprint = ({ crv, kty, x, y }) => digest(bytes(JSON.stringify({ crv, kty, x, y })));

export const enrolMessage = (code, challenge, thumb, passkey) =>
  fields("signet-phone-enrol/1", bytes(code), challenge, thumb, passkey);

// challenge is what the passkey signs: all that the person was shown and typed.
export const challenge = async ({ tenant, user, request, nonce, number, context, phone }) =>
  digest(fields("signet-phone-approve/1", bytes(tenant), bytes(user), decode(request), decode(nonce), bytes(number),
    await digest(bytes(context)), bytes(phone)));

export const answerMessage = (over, authenticatorData, signature) =>
  fields("signet-phone-answer/1", over, authenticatorData, signature);

// newKey makes the phone's own key. It cannot be taken out of this browser.
export const newKey = () => crypto.subtle.generateKey(curve, false, ["sign"]);

export async function publicJWK(key) {
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", key);
  return { kty, crv, x, y };
}

export const sign = async (key, message) => encode(await crypto.subtle.sign(signing, key, message));

// clean gives a code as it is sent: one of a link as it is, one that was typed
// in Crockford's alphabet. It is "" for what can be neither.
export function clean(text) {
  const code = text.trim();
  if (/^[\w-]{22}$/.test(code)) return code;
  const typed = code.replace(/[\s-]/g, "").toUpperCase().replace(/O/g, "0").replace(/[IL]/g, "1");
  return /^[0-9A-HJKMNP-TV-Z]{8}$/.test(typed) ? typed : "";
}

// Refused is an answer that is none, in the words of the server; word is the
// protocol's, or "offline" when there was no answer at all.
export class Refused extends Error {
  constructor(word, message, after) {
    super(message);
    this.word = word;
    this.after = after;
  }
}

let off = 0; // what this phone's clock lacks, in seconds

async function token(account, method, url, body) {
  const claims = {
    tid: account.tenant.id, htm: method, htu: url, iat: Math.round(Date.now() / 1000) + off,
    jti: encode(crypto.getRandomValues(new Uint8Array(16))),
  };
  if (body) claims.bh = encode(await digest(bytes(body)));
  const head = { alg: "ES256", typ: "signet-phone+jwt", kid: account.phone };
  const text = encode(bytes(JSON.stringify(head))) + "." + encode(bytes(JSON.stringify(claims)));
  return text + "." + (await sign(account.key, bytes(text)));
}

// plain asks without a signature, which enrolment does.
export const plain = (path, body) => send("POST", path, JSON.stringify(body));

// call asks as a phone that is enrolled. A clock that is off is put right once.
export async function call(account, method, path, data) {
  const body = data && JSON.stringify(data);
  const again = async () => send(method, path, body, "Phone " + (await token(account, method, location.origin + "/phone/v1" + path, body)));
  try {
    return await again();
  } catch (wrong) {
    if (wrong.word !== "clock_off" || !wrong.date) throw wrong;
    off = Math.round((wrong.date - Date.now()) / 1000);
    return again();
  }
}

async function send(method, path, body, proof) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  if (proof) headers.Authorization = proof;
  let reply;
  try {
    reply = await fetch("/phone/v1" + path, { method, headers, body, credentials: "omit", cache: "no-store", signal: AbortSignal.timeout?.(20000) });
  } catch {
    throw new Refused("offline", "");
  }
  const answer = await reply.json().catch(() => ({}));
  if (reply.ok) return answer;
  const wrong = new Refused(answer.error || "other", answer.message || "", Number(reply.headers.get("Retry-After")) || 0);
  wrong.date = Date.parse(reply.headers.get("Date"));
  throw wrong;
}
