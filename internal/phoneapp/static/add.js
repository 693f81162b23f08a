// Adding an account: whose it is, a passkey, notifications, two words.

import { boot, t, show, fill, press, busy, alarm, wrongly } from "./ui.js";
import { plain, call, clean, decode, newKey, publicJWK, thumbprint, enrolMessage, sign } from "./wire.js";
import { accounts, keepAccount, dropAccount, note, keepNote } from "./store.js";
import { able, make, reuse, drop, known, cancelled } from "./passkey.js";
import { register, homeless, standalone, platform, offered, permission, allow } from "./push.js";

const home = "/phone/";
const every = 2000;

let code, opened, key, made, push, view;

// spent are codes that this app has taken up or was refused. An app on the home
// screen of iOS may start with its first code for ever.
const spent = async () => (await note("spent")) || [];
const spend = async () => keepNote("spent", [code, ...(await spent())].slice(0, 20));

async function start() {
  opened = made = push = undefined;
  code = clean(location.hash.slice(1));
  if (homeless() && !(await note("browser"))) return ios();
  history.replaceState(null, "", location.pathname); // the code stays out of the list of pages visited
  if (code && standalone() && (await spent()).includes(code)) return location.replace(home);
  if (!able()) return show("unable");
  return code ? take() : typed();
}

// ios says how to put the app on the home screen. The code goes along in the
// manifest, whose start address has it.
function ios() {
  if (code) document.querySelector('link[rel="manifest"]').href += "?e=" + code;
  view = show("ios");
  press(view, "in-browser", async () => {
    await keepNote("browser", true);
    start();
  });
}

function typed(text) {
  view = show("typed");
  const field = view.querySelector('[name="code"]');
  if (text) field.value = text;
  view.addEventListener("submit", (event) => {
    event.preventDefault();
    code = clean(field.value);
    if (code) return take();
    field.setAttribute("aria-invalid", "true");
    alarm(view, t("add.code.wrong"));
    field.focus();
  });
  return view;
}

async function take() {
  const button = view?.isConnected && view.querySelector('[data-action="next"]');
  const back = button ? busy(button, t("request.checking")) : () => {};
  if (!button) show("opening");
  try {
    opened = await plain("/enrolments/open", { code });
  } catch (wrong) {
    back();
    if (wrong.word === "code_unknown") await spend();
    alarm(button ? view : typed(), wrongly(wrong));
    return;
  }
  whose();
}

function whose() {
  const making = newKey(); // now, so that the tap goes straight to the prompt
  view = show("whose", { org: opened.tenant.name, full: opened.user.displayName || opened.user.name, user: opened.user.name });
  const field = view.querySelector('[name="phone"]');
  field.value = platform();
  view.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = view.querySelector('[data-action="make-passkey"]');
    if (button.hasAttribute("aria-busy")) return;
    const back = busy(button, t("add.opening"));
    alarm(view, "");
    try {
      made = { name: field.value.trim() || platform(), passkey: await make(opened.options) };
      key = await making;
    } catch (wrong) {
      back();
      if (known(wrong) && opened.reuse) {
        key = await making;
        return already(field.value.trim() || platform());
      }
      return alarm(view, cancelled(wrong) ? t("add.cancelled") : t("add.nopasskey"));
    }
    messages();
  });
}

// already: this phone holds a passkey of this person, which will do.
function already(name) {
  view = show("already", { user: opened.user.name });
  press(view, "use-passkey", async (_, button) => {
    const back = busy(button, t("add.opening"));
    alarm(view, "");
    try {
      made = { name, reuse: await reuse(opened.reuse) };
    } catch (wrong) {
      back();
      return alarm(view, cancelled(wrong) ? t("add.cancelled") : t("add.nopasskey"));
    }
    messages();
  });
}

function messages() {
  if (!offered(opened.push) || permission() === "none" || permission() === "denied") return finish();
  view = show("messages");
  press(view, "skip-push", finish);
  press(view, "allow-push", async (_, button) => {
    const back = busy(button, t("push.asking"));
    alarm(view, "");
    try {
      push = await allow(opened.push);
    } catch {
      back();
      return alarm(view, t("push.silent"));
    }
    finish();
  });
}

let finishing = false;

// finish sends all three: the key, the passkey, where messages go.
async function finish() {
  if (finishing) return;
  finishing = true;
  try {
    await send();
  } finally {
    finishing = false;
  }
}

async function send() {
  const { publicKey } = made.passkey ? opened.options : opened.reuse;
  const credential = made.passkey || made.reuse;
  const jwk = await publicJWK(key.publicKey);
  const message = enrolMessage(code, decode(publicKey.challenge), await thumbprint(jwk), decode(credential.rawId));
  const body = {
    code, name: made.name, platform: platform(), app: "Signet web app " + boot.version, key: jwk, signature: await sign(key.privateKey, message),
  };
  if (made.passkey) body.passkey = made.passkey;
  else body.reuse = made.reuse;
  if (push) body.push = push;
  let answer;
  try {
    answer = await plain("/enrolments/finish", body);
  } catch (wrong) {
    if (wrong.word === "offline") return retry();
    await spend();
    if (made.passkey) drop(publicKey.rp.id, credential.id);
    view = show("stopped", { reason: wrongly(wrong) });
    return;
  }
  navigator.storage?.persist?.(); // asks some browsers to keep the key when space is short
  const account = {
    phone: answer.phone, tenant: opened.tenant, user: opened.user, name: made.name, passkey: credential.id, key: key.privateKey,
    rpId: publicKey.rp?.id || publicKey.rpId, state: "waiting", words: answer.words, until: answer.until, added: Date.now(),
    own: !!made.passkey, offer: opened.push, push: push ? "webpush" : "", endpoint: push?.endpoint, silent: !push,
  };
  await keepAccount(account);
  await spend();
  words(account);
}

function retry() {
  view = show("retry");
  press(view, "again", finish);
}

// words waits until the person has said, on the other screen, that they match.
function words(account) {
  view = show("words", { first: account.words[0], second: account.words[1], name: account.name });
  const shown = view;
  const ask = async () => {
    if (!shown.isConnected) return;
    if (!document.hidden) {
      try {
        const self = await call(account, "GET", "/self");
        if (self.state === "active") return done(account, self);
      } catch (wrong) {
        if (wrong.word === "phone_unproven") {
          await dropAccount(account.phone);
          if (account.own) drop(account.rpId, account.passkey);
          view = show("stopped", { reason: t("add.unsaid") });
          return;
        }
      }
    }
    setTimeout(ask, every);
  };
  ask();
}

async function done(account, self) {
  await keepAccount({ ...account, words: undefined, state: self.state, name: self.name, push: self.push, report: self.report, usable: self.usable });
  view = show("done", { org: t("add.done.text", { org: account.tenant.name, user: account.user.name }), push: account.silent ? "" : true, nopush: account.silent ? true : "" });
}

addEventListener("hashchange", () => {
  if (/^#?$|^#main$/.test(location.hash)) return;
  start();
});

register(boot);
try {
  const waiting = (await accounts()).find((a) => a.state === "waiting" && a.words && Date.parse(a.until) > Date.now());
  if (waiting && !clean(location.hash.slice(1))) words(waiting);
  else await start();
} catch {
  show("unable"); // nothing can be kept here: a private window
}
