// The last requests of this phone's accounts, from the server, or as they were
// last seen.

import { t, show, part, fill, press, clock, day, place, appOf, read } from "./ui.js";
import { call } from "./wire.js";
import { keptHistory, keepHistory } from "./store.js";

const most = 30;
const month = 30 * 24 * 3600 * 1000;

const result = (word) => ({
  approved: [t("result.approved"), "good"], denied: [t("result.denied"), "bad"], reported: [t("result.reported"), "bad"],
  wrong_number: [t("result.wrong_number"), "bad"], expired: [t("result.expired"), ""], cancelled: [t("result.cancelled"), ""],
}[word] || [word, ""]);

function row(entry, account, several) {
  const context = read(entry.context);
  const [word, tone] = result(entry.result);
  const where = place(context);
  const el = fill(part("entry"), {
    app: appOf(context), clock: clock(new Date(entry.time)), result: word,
    meta: [context.browser, where && where.name].filter(Boolean).join(" · "),
    phone: entry.phone && !entry.here ? t("history.phone", { phone: entry.phone }) : "",
    account: several ? account.user.name + " · " + account.tenant.name : "",
    fresh: context.known === false ? true : "",
  });
  if (tone) el.querySelector(".state").classList.add(tone);
  el.querySelector("time").dateTime = entry.time;
  return el;
}

function draw(view, accounts, kept) {
  const all = [];
  let asOf = 0;
  for (const account of accounts) {
    const has = kept.get(account.phone);
    if (!has) continue;
    if (!has.fresh) asOf = Math.max(asOf, has.at);
    for (const entry of has.entries) if (Date.now() - Date.parse(entry.time) < month) all.push({ entry, account });
  }
  all.sort((a, b) => Date.parse(b.entry.time) - Date.parse(a.entry.time));
  const list = view.querySelector("[data-list]");
  list.replaceChildren();
  let group, last = "";
  for (const { entry, account } of all.slice(0, most)) {
    const name = day(new Date(entry.time));
    if (name !== last) {
      group = fill(part("day"), { day: name });
      list.append(group);
      last = name;
    }
    group.querySelector("ul").append(row(entry, account, accounts.length > 1));
  }
  view.querySelector("[data-none]").hidden = all.length > 0;
  const note = view.querySelector("[data-asof]");
  note.hidden = !asOf;
  if (asOf) note.querySelector("p").textContent = t("history.asof", { clock: day(new Date(asOf)) + ", " + clock(new Date(asOf)) });
}

// showHistory shows what is kept at once, and what the server says when it does.
export async function showHistory(accounts, shown) {
  const kept = new Map();
  for (const a of accounts) kept.set(a.phone, await keptHistory(a.phone));
  if (!shown()) return;
  const view = show("history");
  press(view, "again", () => showHistory(accounts, shown));
  draw(view, accounts, kept);
  await Promise.all(accounts.map(async (a) => {
    try {
      const entries = (await call(a, "GET", "/history")).entries || [];
      kept.set(a.phone, { entries, at: Date.now(), fresh: true });
      await keepHistory(a.phone, entries, Date.now());
    } catch {
      // What was seen last stands, and says of when it is.
    }
  }));
  if (shown() && view.isConnected) draw(view, accounts, kept);
}
