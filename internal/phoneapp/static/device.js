// This phone: its accounts, whether messages reach it, its name, and taking an
// account off.

import { t, show, part, fill, say, press, busy, alarm, wrongly } from "./ui.js";
import { call } from "./wire.js";
import { accounts, keepAccount, dropAccount } from "./store.js";
import { permission, homeless, offered, allow, tell, forget } from "./push.js";

// arrival is told by the worker when a message came.
let arrival = () => {};
export const arrived = () => arrival();

let installing;
addEventListener("beforeinstallprompt", (event) => {
  event.preventDefault();
  installing = event;
});

// reach says in one word how messages stand.
function reach(account) {
  if (account.gone) return "gone";
  if (account.state === "waiting") return "waiting";
  if (account.offer && !offered(account.offer)) return "none";
  if (permission() === "none") return homeless() ? "home" : "unable";
  if (permission() === "denied") return "blocked";
  if (permission() === "granted" && account.push === "webpush" && account.endpoint) return "works";
  return "off";
}

const reached = (word) => ({
  gone: [t("reach.gone"), t("reach.gone.note"), "bad"], waiting: [t("reach.waiting"), t("reach.waiting.note"), "warn"],
  none: [t("reach.none"), t("reach.none.note"), ""], home: [t("reach.home"), t("reach.home.note"), "warn"],
  unable: [t("reach.unable"), t("reach.unable.note"), "warn"], blocked: [t("reach.blocked"), t("reach.blocked.note"), "warn"],
  works: [t("reach.works"), t("reach.works.note"), "good"], off: [t("reach.off"), t("reach.off.note"), "warn"],
}[word]);

function panel(account, again) {
  const word = reach(account);
  const [state, note, tone] = reached(word);
  const el = fill(part("account"), {
    org: account.tenant.name, user: account.user.name, name: account.name, reach: state, note,
    allow: word === "off" ? true : "", test: word === "works" ? true : "",
    rename: word === "gone" ? "" : true, useless: account.usable === false && word !== "gone" && word !== "waiting" ? true : "",
    words: word === "waiting" && account.words ? account.words.join(" · ") : "",
  });
  if (tone) el.querySelector(".state").classList.add(tone);
  el.dataset.phone = account.phone;
  press(el, "allow-push", (_, button) => allowing(el, account, button, again));
  press(el, "test-push", (_, button) => testing(el, account, button));
  press(el, "rename", () => renaming(account, again));
  press(el, "remove", () => removing(account, again));
  return el;
}

async function allowing(el, account, button, again) {
  const back = busy(button, t("push.asking"));
  alarm(el, "");
  try {
    const push = await allow(account.offer);
    if (push) account.push = (await tell(account, push)).push;
    await keepAccount(account);
    again(account);
  } catch (wrong) {
    back();
    alarm(el, wrong.word ? wrongly(wrong) : t("push.silent"));
  }
}

async function testing(el, account, button) {
  const back = busy(button, t("push.sending"));
  const line = el.querySelector("[data-tested]");
  let came = false;
  line.textContent = "";
  arrival = () => {
    came = true;
    line.textContent = t("push.came");
  };
  try {
    const { result, text } = await call(account, "POST", "/self/test", {});
    if (!came) line.textContent = result === "sent" ? t("push.sent") : text;
    if (result === "sent") setTimeout(() => !came && line.isConnected && (line.textContent = t("push.late")), 15000);
  } catch (wrong) {
    line.textContent = wrongly(wrong);
  }
  back();
}

// question opens a dialog; the safe way out has the focus.
function question(name, values, yes) {
  const box = fill(part(name), values);
  document.body.append(box);
  box.addEventListener("close", () => box.remove());
  press(box, "cancel", () => box.close());
  box.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const back = busy(box.querySelector('[data-action="confirm"]'), t("ask.doing"));
    try {
      await yes(box);
      box.close();
    } catch (wrong) {
      back();
      alarm(box, wrongly(wrong));
    }
  });
  box.showModal();
  return box;
}

function renaming(account, again) {
  const box = question("rename", {}, async () => {
    const name = field.value.trim();
    if (!name) return;
    account.name = (await call(account, "PUT", "/self", { name })).name;
    await keepAccount(account);
    say(t("rename.done"));
    again(account);
  });
  const field = box.querySelector('[name="name"]');
  field.value = account.name;
  field.select();
}

function removing(account, again) {
  question("remove", { title: t("remove.title", { org: account.tenant.name }) }, async () => {
    try {
      if (!account.gone) await call(account, "DELETE", "/self");
    } catch (wrong) {
      if (wrong.word !== "phone_unproven") throw wrong; // it is gone there already
    }
    await dropAccount(account.phone);
    if (!(await accounts()).length) await forget().catch(() => {});
    say(t("remove.done"));
    again();
  });
}

// showDevice shows the accounts; changed is told what to keep up, or nothing
// when an account went away.
export function showDevice(all, version, changed) {
  const view = show("device", { version: t("device.version", { version }), none: all.length ? "" : true });
  const list = view.querySelector("[data-accounts]");
  const again = async (account) => {
    await changed();
    if (account) document.querySelector(`[data-phone="${account.phone}"] h2`)?.focus();
  };
  for (const account of all) list.append(panel(account, again));
  const button = view.querySelector('[data-action="install"]');
  button.hidden = !installing;
  button.addEventListener("click", async () => {
    await installing.prompt();
    installing = undefined;
    button.hidden = true;
  });
  return view;
}
