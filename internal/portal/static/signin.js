// The sign-in page: passkeys by autofill, by the button, and for the user
// name that was typed. What comes back is posted as an ordinary form, so that
// the browser itself follows where the server sends it.

import { able, get, post, quietAble, signal, stop } from "./webauthn.js";
import { ours, shows } from "./known.js";
import { alarm, busy, calm, say, words } from "./page.js";

const form = document.getElementById("signin");
const name = form.elements.namedItem("username");
const pass = form.elements.namedItem("access_pass");
const other = form.querySelector("details.other");
const METHOD = "passkey";

const begin = (username) => post(form.dataset.begin, { handle: form.elements.namedItem("handle").value, method: METHOD, username });

function put(field, value) {
  const input = document.createElement("input");
  input.type = "hidden";
  input.name = field;
  input.value = value;
  form.append(input);
}

// Of what is answered in the quiet prompt and in the loud one at the same moment,
// one goes out.
let sent = false;

// A browser in which somebody proves themselves so is one that may ask a phone,
// wherever only known ones may.
async function send(ceremony, payload) {
  if (sent) return;
  sent = true;
  const key = form.dataset.known && (await ours());
  if (key) put("browser_key", key);
  put("method", METHOD);
  put("ceremony", ceremony);
  put("payload", JSON.stringify(payload));
  if (pass) pass.disabled = true;
  HTMLFormElement.prototype.submit.call(form);
}

// quietly waits behind the user name field until somebody picks a passkey
// there. Its challenge is renewed before it is over.
let quietRound = 0;

async function quietly() {
  if (!name || name.type === "hidden" || !(await quietAble())) return;
  const round = ++quietRound;
  let begun;
  try {
    begun = await begin("");
  } catch {
    return; // the button will say what is wrong
  }
  if (round !== quietRound) return;
  const left = new Date(begun.expires).getTime() - Date.now() - 30000;
  const renew = setTimeout(() => round === quietRound && quietly(), Math.max(left, 30000));
  try {
    const answer = await get(begun.show, { quiet: true });
    if (round === quietRound) await send(begun.ceremony, answer);
  } catch {
    // Nobody asked for this prompt, so its end is nobody's news.
  } finally {
    clearTimeout(renew);
  }
}

function cancelled() {
  say(words("say-cancelled"));
  if (other) other.open = true;
}

function failed(err) {
  if (err.name === "AbortError") return;
  if (err.told) return alarm(err.told.message, err.told);
  if (err.name === "SecurityError") return alarm(words("say-misfit"));
  if (err instanceof TypeError || err instanceof SyntaxError) return alarm(words("say-offline"));
  cancelled(); // NotAllowedError, and whatever a browser invents: nothing was sent
}

let asking = false;

async function ask(button, hints) {
  if (asking || sent) return;
  asking = true;
  quietRound++;
  stop();
  calm();
  const back = button.classList.contains("btn") ? busy(button, words("say-checking")) : () => {};
  say(words("say-prompt"));
  const slow = setTimeout(() => say(words("say-slow")), 8000);
  try {
    const begun = await begin(name ? name.value.trim() : "");
    const answer = await get(begun.show, { hints });
    await send(begun.ceremony, answer);
    return;
  } catch (err) {
    say("");
    failed(err);
  } finally {
    clearTimeout(slow);
  }
  asking = false;
  back();
  quietly();
}

// elsewhere asks a phone: the server shows what comes next.
async function elsewhere(button) {
  if (asking || sent) return;
  asking = true;
  stop();
  const shown = form.dataset.known && (await shows(form.dataset.known, form.elements.namedItem("handle").value));
  for (const [field, value] of Object.entries(shown || {})) put(field, value);
  put("method", button.value);
  form.action = button.formAction;
  HTMLFormElement.prototype.submit.call(form);
}

form.addEventListener("submit", (event) => {
  if (sent) return event.preventDefault(); // the answer is on its way
  const button = event.submitter;
  const way = button && button.name;
  // A pass that was typed is what is meant, whichever button Enter took.
  if (pass && pass.value.trim() !== "" && way !== "forget") {
    stop();
    if (!(button && button.value === "accessPass")) {
      event.preventDefault();
      put("method", "accessPass");
      HTMLFormElement.prototype.submit.call(form);
    }
    return;
  }
  if (way === "method" && button.value === "accessPass") {
    event.preventDefault();
    pass.focus();
    return;
  }
  // Enter takes the way that was used last.
  const first = way === "method" ? button : form.querySelector(".ways .main");
  if (way !== "forget" && first && first.hasAttribute("formaction")) {
    event.preventDefault();
    elsewhere(first);
    return;
  }
  if (way === "forget" || (way === "method" && button.value !== METHOD)) return;
  if (!able()) return;
  event.preventDefault();
  const main = form.querySelector(`.ways [value="${METHOD}"]`) || button;
  ask(way === "method" ? button : main, button && button.dataset.hint ? [button.dataset.hint] : undefined);
});

if (!able()) {
  document.getElementById("unsupported").hidden = false;
  // Nothing is unfolded: a pass would be spent here for nothing.
  for (const b of form.querySelectorAll(`[value="${METHOD}"]`)) b.hidden = true;
} else if (form.querySelector(`[value="${METHOD}"]`)) {
  if (form.dataset.unknown) signal("signalUnknownCredential", { rpId: form.dataset.rp, credentialId: form.dataset.unknown });
  quietly();
}

// A page that comes back from the browser's own cache has spent its ceremony.
addEventListener("pageshow", (event) => event.persisted && location.reload());
