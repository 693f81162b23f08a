// Messages to this phone (W3C Push API): permission, subscription, and telling
// the server where to send.

import { encode, decode, call } from "./wire.js";
import { keepAccount } from "./store.js";

const apple = /iPad|iPhone|iPod/.test(navigator.userAgent) || (/Macintosh/.test(navigator.userAgent) && navigator.maxTouchPoints > 1);

export const standalone = () => navigator.standalone === true || matchMedia("(display-mode: standalone)").matches;

// homeless says that this is iOS outside of the home screen, where there are
// no messages and storage does not last.
export const homeless = () => apple && !standalone();

export const platform = () => {
  if (apple) return /iPad/.test(navigator.userAgent) || /Macintosh/.test(navigator.userAgent) ? "iPad" : "iPhone";
  const named = navigator.userAgentData?.platform;
  if (named) return named;
  return /Android/.test(navigator.userAgent) ? "Android" : /Windows/.test(navigator.userAgent) ? "Windows" : /Mac/.test(navigator.userAgent) ? "macOS" : "Linux";
};

export const permission = () => ("PushManager" in window && "Notification" in window && navigator.serviceWorker ? Notification.permission : "none");

// register has the worker run. Its address passes the one Trusted Types policy
// of the app, which lets nothing else through.
export async function register({ worker, types }) {
  if (!navigator.serviceWorker) return;
  let url = worker;
  if (window.trustedTypes) {
    const policy = trustedTypes.createPolicy(types, {
      createScriptURL: (asked) => {
        if (asked === worker) return asked;
        throw new TypeError("not the worker: " + asked);
      },
    });
    url = policy.createScriptURL(worker);
  }
  try {
    (await navigator.serviceWorker.register(url, { scope: "/phone/" })).update().catch(() => {});
  } catch {
    // The app works without, while it is open and there is a connection.
  }
}

const late = (ms) => new Promise((_, broke) => setTimeout(() => broke(new Error("the push service does not answer")), ms));

const sameKey = (subscription, key) => {
  const has = subscription.options?.applicationServerKey;
  return !has || encode(has) === key;
};

// subscribed gives the subscription of this browser under the server's key,
// made anew when it was made under another, or when stale says so.
async function subscribed(key, stale = () => false) {
  const registration = await Promise.race([navigator.serviceWorker.ready, late(10000)]);
  const manager = registration.pushManager;
  const there = await manager.getSubscription();
  if (there && sameKey(there, key) && !stale(there)) return there;
  if (there) await there.unsubscribe();
  return Promise.race([manager.subscribe({ userVisibleOnly: true, applicationServerKey: decode(key) }), late(20000)]);
}

// wire is a subscription as the protocol writes it.
function wire(subscription) {
  const { endpoint, keys } = subscription.toJSON();
  return { kind: "webpush", endpoint, p256dh: keys.p256dh, auth: keys.auth };
}

export const offered = (offer) => !!offer?.vapid && offer.kinds.includes("webpush");

// allow asks the person, which browsers let happen inside of a tap only, and
// gives where to send; undefined: they said no.
export async function allow(offer) {
  if ((await Notification.requestPermission()) !== "granted") return undefined;
  return wire(await subscribed(offer.vapid));
}

// keepUp tells the server where to send when that is not where it sends now:
// subscriptions die, and the key they were made under may have been changed.
export async function keepUp(account, self) {
  if (!offered(self.pushOffer) || permission() !== "granted" || account.silent) return self;
  // What the server no longer sends to, though it was told, is dead there.
  const dead = ({ endpoint }) => self.push !== "webpush" && endpoint === account.endpoint;
  const push = wire(await subscribed(self.pushOffer.vapid, dead));
  if (self.push === "webpush" && account.endpoint === push.endpoint) return self;
  return tell(account, push);
}

// tell sets where to send.
export async function tell(account, push) {
  const self = await call(account, "PUT", "/self", { push });
  account.endpoint = push.endpoint;
  account.silent = false;
  await keepAccount(account);
  return self;
}

// forget ends the subscription, once nobody is left to be told of anything.
export async function forget() {
  const registration = await navigator.serviceWorker?.getRegistration("/phone/");
  await (await registration?.pushManager?.getSubscription())?.unsubscribe();
}
