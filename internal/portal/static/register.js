// Adding a passkey: where it shall live, the browser's own prompt, its name.

import { able, create, post, signal } from "./webauthn.js";
import { alarm, busy, calm, say, words } from "./page.js";

const form = document.getElementById("register");
const value = (field) => (form.elements.namedItem(field) || {}).value || "";
const part = (id) => document.getElementById(id);

// Where it shall live is a wish: a hint orders what the browser offers and
// shuts nothing out, so a wrong guess here cannot lock anybody out.
const wishes = { here: ["client-device"], key: ["security-key"], phone: ["hybrid"] };

const about = () => ({ session: value("session"), flow: value("flow"), method: "passkey" });

// made is a passkey that the device has and the server does not know yet. When
// it never comes to know it, the device is told to forget it.
let made;

const forget = () => made && signal("signalUnknownCredential", { rpId: made.rpId, credentialId: made.payload.id });

function step(here) {
  [...document.querySelectorAll(".steps li")].forEach((li, n) => {
    li.classList.toggle("done", n < here);
    if (n === here) li.setAttribute("aria-current", "step");
    else li.removeAttribute("aria-current");
  });
}

function show(naming) {
  part("place").hidden = part("lead").hidden = naming;
  part("naming").hidden = !naming;
  step(naming ? 2 : 0);
}

function failed(err) {
  if (err.name === "AbortError") return;
  if (err.told) {
    if (err.told.page) location.assign(err.told.page);
    else alarm(err.told.message, err.told);
  } else if (err.name === "InvalidStateError") alarm(words("say-already"));
  else if (err.name === "ConstraintError") alarm(words("say-nouv"));
  else if (err.name === "SecurityError") alarm(words("say-misfit"));
  else if (err instanceof TypeError || err instanceof SyntaxError) alarm(words("say-offline"));
  else say(words("say-cancelled"));
}

async function add(button) {
  calm();
  const back = busy(button, words("say-checking"));
  const where = value("where") || "here";
  part("expect").hidden = false;
  step(1);
  try {
    const begun = await post(form.dataset.begin, about());
    const payload = await create(begun.show, wishes[where]);
    made = { payload, ceremony: begun.ceremony, rpId: begun.show.publicKey.rp.id };
    show(true);
    const field = part("name");
    field.value = words("name-" + where);
    field.focus();
    field.select();
  } catch (err) {
    step(0);
    failed(err);
  } finally {
    back();
    part("expect").hidden = true;
  }
}

async function finish(button) {
  calm();
  const back = busy(button, words("say-checking"));
  const { payload, ceremony } = made;
  try {
    payload.name = value("name").trim();
    const done = await post(form.dataset.finish, { ...about(), ceremony, payload });
    made = undefined;
    location.assign(done.next);
  } catch (err) {
    // A refused answer is spent; an unanswered one may be sent again.
    if (err.told) {
      forget();
      made = undefined;
      show(false);
    }
    failed(err);
    back();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = form.querySelector(made ? "[data-action=next]" : "[data-action=register-passkey]");
  if (button && button.getAttribute("aria-disabled") !== "true") (made ? finish : add)(button);
});

addEventListener("pagehide", forget);

if (!able() && part("place")) {
  part("unsupported").hidden = false;
  for (const e of form.querySelectorAll("fieldset, #place > .hint, [data-action=register-passkey]")) e.hidden = true;
}
