// The app: which view is shown, and asking the server for what waits.

import { boot, t, show, part, fill, brand, place, appOf, read } from "./ui.js";
import { call } from "./wire.js";
import { accounts, keepAccount } from "./store.js";
import { register, keepUp, permission } from "./push.js";
import { openRequest } from "./request.js";
import { showHistory } from "./history.js";
import { showDevice, arrived } from "./device.js";

const every = 3000;

let list = []; // accounts
const waiting = new Map(); // id → what waits, as openRequest takes it
const answered = new Set(); // here, or over
const passed = new Set(); // left by their person without an answer
const pause = new Map(); // phone → when it may ask again
let current, offline = false, asked = false, drawn = "";

const at = (view) => document.body.dataset.view === view;

// named is the request that the address names: "#r=<id>", or the id alone.
const named = () => (location.hash.match(/^#(?:r=)?([\w-]{16,64})$/) || ["", ""])[1];

// Views by address. The fragment is never sent anywhere.

function route() {
  const hash = location.hash;
  if (hash === "#main") return; // the skip link
  if (current) {
    if (named() === current.id && current.asking) return;
    if (current.asking) passed.add(current.id);
    current.close();
    current = undefined;
  }
  brand();
  drawn = "";
  const tab = hash === "#history" ? "history" : hash === "#phone" ? "phone" : "home";
  for (const link of document.querySelectorAll("[data-tab]")) {
    if (link.dataset.tab === tab) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (tab === "history") return showHistory(list, () => location.hash === "#history");
  if (tab === "phone") return device();
  if (waiting.has(named())) return open(waiting.get(named()));
  home();
}

function device() {
  showDevice(list, boot.version, async () => {
    list = await accounts();
    if (location.hash === "#phone") device();
  });
}

// home is the list of what waits, or that nothing does. It is drawn again only
// when it would look different: nobody's place on the page is lost.
function home() {
  const wanted = named();
  const items = [...waiting.values()];
  const one = waiting.get(wanted) || (items.length === 1 && !passed.has(items[0].request.id) && items[0]);
  if (one) return open(one);
  const looks = JSON.stringify([items.map((i) => i.request.id), list.map((a) => [a.phone, a.state, a.gone, a.refused, a.usable]), offline, asked]);
  if (at("home") && looks === drawn) return;
  drawn = looks;
  const over = asked && wanted && !offline && !items.length;
  const view = show("home", {
    title: !list.length ? t("home.none") : items.length ? t("home.several") : offline ? t("home.offline") : !asked ? t("home.looking") : over ? t("home.over") : t("home.empty"),
    lead: !list.length ? t("home.none.lead") : items.length ? t("home.several.lead") : offline ? t("home.offline.lead") : !asked ? "" : over ? t("home.over.lead") : t("home.empty.lead"),
    add: list.length ? "" : true, seal: items.length ? "" : true, accounts: list.length ? true : "",
  });
  view.querySelector(".seal")?.classList.toggle("faint", offline || !asked);
  for (const item of items) view.querySelector("[data-waiting]").append(row(item));
  for (const account of list) view.querySelector("[data-accounts]")?.append(line(account));
}

function row(item) {
  const where = place(item.context);
  const el = fill(part("waiting"), {
    app: appOf(item.context), meta: [item.account.user.name, item.context.browser, where && where.name].filter(Boolean).join(" · "),
  });
  el.querySelector("a").href = "#r=" + item.request.id;
  return el;
}

function line(account) {
  const state = account.gone ? [t("reach.gone"), "bad"] : account.state === "waiting" ? [t("reach.waiting"), "warn"]
    : account.refused ? [account.refused, "bad"] : account.usable === false ? [t("home.useless"), "warn"] : ["", ""];
  const el = fill(part("line"), { org: account.tenant.name, user: account.user.name, state: state[0] });
  el.querySelector(".state")?.classList.add(state[1]);
  return el;
}

function open(item) {
  const id = item.request.id;
  if (location.hash !== "#r=" + id) history.replaceState(null, "", "#r=" + id);
  drawn = "";
  current = openRequest({ ...item, several: list.length > 1 }, {
    over() {
      answered.add(id);
      waiting.delete(id);
      hush();
    },
    leave() {
      leave();
      turn();
    },
    async gone(account) {
      await mark(account, { gone: true });
      leave();
    },
  });
}

// leave goes back to what waits.
function leave() {
  history.replaceState(null, "", location.pathname);
  route();
}

// hush takes away the notifications: what they told of has been seen.
async function hush() {
  const registration = await navigator.serviceWorker?.getRegistration("/phone/");
  for (const n of (await registration?.getNotifications()) || []) n.close();
}

const mark = (account, facts) => keepAccount(Object.assign(account, facts));

// refresh takes over what the server says of this phone, and keeps the
// subscription alive.
async function refresh(account) {
  let self = await call(account, "GET", "/self");
  const take = () => mark(account, {
    state: self.state, name: self.name, tenant: self.tenant, user: self.user, push: self.push, offer: self.pushOffer,
    report: self.report, rpId: self.rpId, passkey: self.passkey, usable: self.usable, refused: "",
  });
  await take();
  if (self.state !== "active") return;
  try {
    self = await keepUp(account, self);
    await take();
  } catch {
    // "This phone" says how messages stand.
  }
}

// fault notes what an account was told instead of an answer; true: there was none.
async function fault(account, wrong) {
  switch (wrong.word) {
    case "offline":
      return true;
    case "too_many":
      pause.set(account.phone, Date.now() + 1000 * Math.max(every / 1000, wrong.after));
      break;
    case "phone_unproven":
      await mark(account, { gone: true });
      break;
    case "phone_waiting":
      await mark(account, { state: "waiting" });
      break;
    case "phone_refused":
      await mark(account, { refused: wrong.message });
  }
  return false;
}

async function askFor(account) {
  if (account.gone || (pause.get(account.phone) || 0) > Date.now()) return true;
  if (account.state !== "active") await refresh(account);
  if (account.state !== "active") return true;
  const answer = await call(account, "GET", "/requests");
  if (account.refused) await mark(account, { refused: "" });
  const ahead = Date.parse(answer.now) - Date.now();
  const requests = answer.requests || [];
  const there = new Set(requests.map((r) => r.id));
  for (const request of requests) {
    if (answered.has(request.id) || waiting.has(request.id)) continue;
    waiting.set(request.id, { account, request, context: read(request.context), until: Date.parse(request.expires) - ahead });
  }
  for (const [id, item] of waiting) if (item.account.phone === account.phone && !there.has(id)) waiting.delete(id);
  return true;
}

let timer, turning;

// turn asks for every account, and again while somebody looks.
function turn() {
  clearTimeout(timer);
  if (document.hidden) return Promise.resolve();
  return (turning ||= (async () => {
    const ended = await Promise.all(list.map((account) => askFor(account).catch((wrong) => fault(account, wrong).then((none) => !none))));
    offline = ended.length > 0 && !ended.includes(true);
    asked = true;
    for (const [id, item] of waiting) if (item.until < Date.now()) waiting.delete(id);
    if (current?.asking) {
      if (!waiting.has(current.id) && !offline) current.withdrawn();
    } else if (!current && at("home")) home();
    turning = undefined;
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(turn, every);
  })());
}

let left = 0; // when the app was last put away

// seen is the app coming to the front, or going away. How the last request
// ended is not shown again to somebody who comes back later.
async function seen() {
  if (document.hidden) {
    left = Date.now();
    return clearTimeout(timer);
  }
  if (current && !current.asking && !at("end-denied") && Date.now() - left > 10000) leave();
  if (stale && !current) return location.reload();
  await turn();
  await Promise.all(list.map((account) => account.gone || refresh(account).catch((wrong) => fault(account, wrong))));
  if (at("home") && !current) home();
  if (location.hash === "#phone" && at("device") && !document.querySelector("dialog[open]")) device();
}

// A new worker brings new files: they are taken when the app is next looked at.
let stale = false;
const controlled = !!navigator.serviceWorker?.controller;
navigator.serviceWorker?.addEventListener("controllerchange", () => (stale = controlled));
navigator.serviceWorker?.addEventListener("message", ({ data }) => {
  if (data.told !== undefined) arrived();
  if (data.open !== undefined && !current?.asking) location.hash = data.open;
  turn();
});

addEventListener("hashchange", route);
addEventListener("online", turn);
document.addEventListener("visibilitychange", seen);

try {
  list = await accounts();
  if (permission() === "granted") hush();
  route();
  register(boot);
  await seen();
} catch (wrong) {
  if (list.length) throw wrong;
  show("home", { title: t("home.broken"), lead: t("home.broken.lead"), add: "", seal: "", accounts: "" }); // no storage: a private window
}
