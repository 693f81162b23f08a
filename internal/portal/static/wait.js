// The page with the number: says how long it is good for, hears when the phone
// has answered, and posts an ordinary form then. Without this script the page is
// loaded again every three seconds.

import { shows } from "./known.js";
import { busy, say, words } from "./page.js";

const page = document.getElementById("wait");
const submit = (form) => HTMLFormElement.prototype.submit.call(form);
const again = () => location.replace(location.pathname.replace(/\/(answer|ask)$/, "") + "?flow=" + encodeURIComponent(document.querySelector("[name=handle]").value));

let gone = false;

function answered() {
  if (gone) return;
  gone = true;
  document.getElementById("seal").setAttribute("stroke-dasharray", "120 120");
  document.getElementById("state").textContent = words("say-ready");
  submit(document.getElementById("answer"));
}

function heard(state) {
  if (state === "ready") answered();
  else if (state === "over" && !gone) {
    gone = true;
    again();
  }
}

// One question that is answered when there is news; for browsers and proxies
// that hold no events.
async function poll() {
  while (!gone) {
    try {
      const reply = await fetch(page.dataset.wait, { cache: "no-store", headers: { Accept: "application/json" } });
      if (reply.ok) {
        heard((await reply.json()).state);
        continue;
      }
      if (reply.status < 500 && reply.status !== 429) return heard("over");
    } catch {
      say(words("say-offline"));
    }
    await new Promise((done) => setTimeout(done, 2000));
  }
}

function listen() {
  if (!window.EventSource) return poll();
  const events = new EventSource(page.dataset.wait);
  let opened = false;
  events.onopen = () => (opened = true);
  for (const state of ["ready", "over"]) {
    events.addEventListener(state, () => {
      events.close();
      heard(state);
    });
  }
  // A connection that was cut comes back by itself; one that was refused, or
  // never held, does not.
  events.onerror = () => {
    if (events.readyState !== EventSource.CLOSED && opened) return;
    events.close();
    poll();
  };
}

function clock() {
  const until = performance.now() + Number(page.dataset.left) * 1000;
  const left = document.getElementById("left");
  const seal = document.getElementById("seal");
  const announce = document.getElementById("announce");
  const tick = () => {
    if (gone) return;
    const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
    left.textContent = words("say-left").replace("{left}", Math.floor(seconds / 60) + ":" + String(seconds % 60).padStart(2, "0"));
    seal.setAttribute("stroke-dasharray", seconds + " 120");
    if (seconds === 60 || seconds === 20) announce.textContent = words("say-" + seconds);
    // What came in the last moment is posted; that it was late the server says.
    if (seconds > 0) setTimeout(tick, 1000);
    else setTimeout(answered, 1500);
  };
  tick();
  if (!document.querySelector(".help.now")) setTimeout(() => (announce.textContent = words("say-help")), 8000);
}

function sendAgain(form) {
  const button = form.querySelector("button");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled")) return;
    const back = busy(button, button.textContent);
    try {
      const reply = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { Accept: "application/json" } });
      if (!reply.ok && reply.status !== 429) return again();
      say(words(reply.ok ? "say-sent" : "say-enough"));
      if (reply.status === 429) button.hidden = true;
    } catch {
      say(words("say-offline"));
    } finally {
      back();
    }
  });
}

const anew = document.getElementById("anew");
if (anew && anew.dataset.known) {
  anew.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = { method: event.submitter.value, ...(await shows(anew.dataset.known, anew.elements.namedItem("handle").value)) };
    for (const [name, value] of Object.entries(fields)) anew.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    submit(anew);
  });
}

if ("ready" in page.dataset) answered();
else if (page.dataset.wait) {
  clock();
  listen();
  sendAgain(document.getElementById("again"));
}

// A page from the browser's own cache is about a number that is over.
addEventListener("pageshow", (event) => event.persisted && again());
