// What the pages need of WebAuthn Level 3: the JSON forms of §5.1.8-10 with a
// fallback for browsers that lack them, one request at a time, and the signals
// of §5.1.10.

export const able = () => typeof PublicKeyCredential === "function" && !!navigator.credentials;

const bytes = (text) => {
  const b64 = text.replace(/-/g, "+").replace(/_/g, "/");
  return Uint8Array.from(atob(b64), (c) => c.charCodeAt(0));
};

const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const described = (list) => (list || []).map((d) => ({ ...d, id: bytes(d.id) }));

function requestOptions(json) {
  if (PublicKeyCredential.parseRequestOptionsFromJSON) return PublicKeyCredential.parseRequestOptionsFromJSON(json);
  return { ...json, challenge: bytes(json.challenge), allowCredentials: described(json.allowCredentials) };
}

function creationOptions(json) {
  if (PublicKeyCredential.parseCreationOptionsFromJSON) return PublicKeyCredential.parseCreationOptionsFromJSON(json);
  return {
    ...json,
    challenge: bytes(json.challenge),
    user: { ...json.user, id: bytes(json.user.id) },
    excludeCredentials: described(json.excludeCredentials),
  };
}

function asJSON(cred) {
  if (cred.toJSON) {
    try {
      return cred.toJSON();
    } catch {
      // Some password managers put in objects whose toJSON throws.
    }
  }
  const from = cred.response;
  const response = { clientDataJSON: text(from.clientDataJSON) };
  if (from.attestationObject) {
    response.attestationObject = text(from.attestationObject);
    response.transports = from.getTransports ? from.getTransports() : [];
  } else {
    response.authenticatorData = text(from.authenticatorData);
    response.signature = text(from.signature);
    if (from.userHandle) response.userHandle = text(from.userHandle);
  }
  return {
    id: cred.id,
    rawId: text(cred.rawId),
    type: cred.type,
    authenticatorAttachment: cred.authenticatorAttachment || undefined,
    clientExtensionResults: cred.getClientExtensionResults(),
    response,
  };
}

// One request a page: a browser refuses a second one while the first, perhaps
// a quiet one behind the user name field, is still open.
let running;

export function stop() {
  if (running) running.abort();
  running = undefined;
}

function start() {
  stop();
  running = new AbortController();
  return running.signal;
}

export async function get(show, { quiet = false, hints } = {}) {
  const publicKey = requestOptions(show.publicKey);
  if (hints) publicKey.hints = hints;
  const ask = { publicKey, signal: start() };
  if (quiet) ask.mediation = "conditional";
  return asJSON(await navigator.credentials.get(ask));
}

export async function create(show, hints) {
  const publicKey = creationOptions({ ...show.publicKey, hints });
  return asJSON(await navigator.credentials.create({ publicKey, signal: start() }));
}

export async function quietAble() {
  try {
    return !!(await PublicKeyCredential.isConditionalMediationAvailable());
  } catch {
    return false;
  }
}

// Signals are a courtesy to the passkey provider: they tell it what this
// server still accepts. Some browsers have the function without reporting the
// capability, so the function is what counts.
export async function signal(name, options) {
  try {
    if (able() && PublicKeyCredential[name]) await PublicKeyCredential[name](options);
  } catch {
    // Nothing depends on it.
  }
}

// post sends JSON and gives the answer, or an Error whose message the page may show.
export async function post(url, body) {
  const reply = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(body),
    credentials: "same-origin",
  });
  const data = await reply.json();
  if (reply.ok) return data;
  const wrong = new Error(data.message || reply.statusText);
  wrong.told = data;
  throw wrong;
}
