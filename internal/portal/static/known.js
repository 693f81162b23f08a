// The key by which this browser shows that it is the same one as before: made
// here, never readable, not even by this script, and of no use anywhere else. A
// page on another address cannot reach it.

const LABEL = "signet-known-browser/1";
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };

const asked = (request) =>
  new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });

async function store(mode) {
  const opening = indexedDB.open("signet-browser", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
  return (await asked(opening)).transaction("keys", mode).objectStore("keys");
}

async function pair(make) {
  const held = await asked((await store("readonly")).get("key"));
  if (held || !make) return held;
  const made = await crypto.subtle.generateKey(ALGORITHM, false, ["sign"]);
  await asked((await store("readwrite")).put(made, "key"));
  return made;
}

const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const publicKey = async (keys) => text(await crypto.subtle.exportKey("spki", keys.publicKey));

function message(parts) {
  const list = parts.map((part) => new TextEncoder().encode(part));
  const out = new Uint8Array(list.reduce((sum, part) => sum + 4 + part.length, 0));
  let at = 0;
  for (const part of list) {
    new DataView(out.buffer).setUint32(at, part.length);
    out.set(part, at + 4);
    at += 4 + part.length;
  }
  return out;
}

// Nothing here may keep anybody from signing in: a browser that has no place
// for keys, or is slow, is one that is not known.
const within = (work, ms) => Promise.race([work.catch(() => null), new Promise((done) => setTimeout(done, ms, null))]);

// ours is the public key to be known by, made when there is none.
export const ours = () => within((async () => publicKey(await pair(true)))(), 1500);

// shows is what to send with a request in a flow; null when there is no key.
export const shows = (tenant, handle) =>
  within(
    (async () => {
      const keys = await pair(false);
      if (!keys) return null;
      const signed = crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, keys.privateKey, message([LABEL, tenant, handle]));
      return { browser_key: await publicKey(keys), browser_signature: text(await signed) };
    })(),
    1500,
  );
