// Making a key for somebody else, with the key plugged in here.

import { able, create } from "./webauthn.js";
import { busy, say, words } from "./page.js";

const form = document.getElementById("make");

if (form && !able()) {
  document.getElementById("unsupported").hidden = false;
  form.querySelector("[data-action=make-key]").hidden = true;
}

if (form) form.addEventListener("submit", async (event) => {
  const field = form.elements.namedItem("payload");
  if (field.value) return; // made: it is on its way
  event.preventDefault();
  const button = form.querySelector("[data-action=make-key]");
  if (button.getAttribute("aria-disabled") === "true") return;
  const back = busy(button, words("say-checking"));
  say("");
  try {
    const payload = await create(JSON.parse(words("options")), ["security-key"]);
    payload.name = form.elements.namedItem("name").value;
    field.value = JSON.stringify(payload);
    form.requestSubmit();
  } catch (err) {
    say(words(err.name === "InvalidStateError" ? "say-already" : "say-cancelled"));
    back();
  }
});
