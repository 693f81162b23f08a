// The service worker of /phone/. It keeps the app's own files and shows what
// was pushed; it never keeps an answer of /phone/v1.

const cacheName = "signet-phone-" + known.version;

self.addEventListener("install", (event) => {
  const all = [...known.pages, ...known.files].map((url) => new Request(url, { cache: "no-cache", credentials: "omit" }));
  event.waitUntil(caches.open(cacheName).then((cache) => cache.addAll(all)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("signet-phone-") && name !== cacheName) await caches.delete(name);
    }
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  const { method, url, mode } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== location.origin) return;
  const ours = mode === "navigate" ? known.pages.includes(pathname) : known.files.includes(pathname);
  if (ours) event.respondWith(kept(pathname, event.request));
});

async function kept(pathname, request) {
  const cache = await caches.open(cacheName);
  return (await cache.match(pathname, { ignoreVary: true })) || fetch(request);
}

// Every message shows a notification, whatever is in it: browsers take the
// subscription away from a worker that shows none.
self.addEventListener("push", (event) => {
  event.waitUntil(show(event.data));
});

async function show(data) {
  let message = {};
  try {
    message = data.json() || {};
  } catch {
    // What cannot be read still says that something waits.
  }
  const { title = known.title, body = known.body, navigate } = message.notification || {};
  const id = typeof message.id === "string" && /^[\w-]{8,64}$/.test(message.id) ? message.id : "";
  await self.registration.showNotification(String(title), {
    body: String(body), icon: known.icon, tag: "signet-" + id, renotify: true, requireInteraction: true, data: { url: target(id, navigate) },
  });
  for (const client of await windows()) client.postMessage({ told: id });
}

// target is where a notification leads: into this app, wherever it says.
function target(id, navigate) {
  try {
    const url = new URL(navigate, location.origin);
    if (url.origin === location.origin && (url.pathname === "/phone" || url.pathname === known.home)) return known.home + url.hash;
  } catch {
    // None, or not an address.
  }
  return known.home + (id && "#r=" + id);
}

const windows = async () =>
  (await self.clients.matchAll({ type: "window", includeUncontrolled: true })).filter((c) => new URL(c.url).pathname === known.home);

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const { url } = event.notification.data;
  event.waitUntil((async () => {
    const [open] = await windows();
    if (!open) return self.clients.openWindow(url);
    open.postMessage({ open: new URL(url, location.origin).hash });
    return open.focus();
  })());
});

// The push service gave this browser another address: get one under the same
// key, and tell it for every account.
self.addEventListener("pushsubscriptionchange", (event) => {
  event.waitUntil((async () => {
    const key = event.oldSubscription?.options.applicationServerKey;
    const subscription = event.newSubscription
      || (key && (await self.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key })));
    if (!subscription) return; // the app asks when it is opened
    const { endpoint, keys } = subscription.toJSON();
    for (const account of await accounts()) {
      if (account.silent) continue;
      await call(account, "PUT", "/self", { push: { kind: "webpush", endpoint, p256dh: keys.p256dh, auth: keys.auth } })
        .then(() => keepAccount({ ...account, endpoint })).catch(() => {}); // told when the app is opened
    }
  })());
});
