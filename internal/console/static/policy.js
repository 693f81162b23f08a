// Rules about methods: what a change would do is worked out while one types,
// searches stay on the page, and key models are picked in a dialog. All of it
// is the page's own form, sent by script; the reply is read as a document, whose
// parts take the places of the old ones. Without a script the buttons send it.

import { say } from "./page.js";

const pause = 400;      // after the last change, until the impact is worked out
const searchPause = 250;
const dialog = document.getElementById("dialog");
let timer = 0;
let running = null; // the request that works the impact out
let leaving = false;

const editor = () => document.getElementById("policy");

// send posts fields and gives the reply as a document. A reply that the
// browser read like this runs no script, and nothing here turns text into HTML.
function send(url, fields, progress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open("POST", url);
    request.responseType = "document";
    request.setRequestHeader("Content-Type", "application/x-www-form-urlencoded");
    if (progress) request.addEventListener("progress", (event) => progress(event.loaded));
    request.addEventListener("load", () => (request.response ? resolve(request.response) : reject(new Error("no document"))));
    request.addEventListener("error", () => reject(new Error("network")));
    request.addEventListener("abort", () => reject(new DOMException("gone", "AbortError")));
    request.send(new URLSearchParams(fields).toString());
  });
  return { done, stop: () => request.abort() };
}

function fieldsOf(form, button) {
  const fields = new FormData(form);
  if (button && button.name) fields.append(button.name, button.value);
  return fields;
}

// swap puts a part of the reply in the place of the one here.
function swap(doc, id) {
  const fresh = doc.getElementById(id), old = document.getElementById(id);
  if (!fresh || !old) return false;
  old.replaceWith(document.importNode(fresh, true));
  return true;
}

// The focus goes to the same control of the new part, to the one that stands for
// it, or to its beginning.
function keepFocus(id, mark, home) {
  const part = document.getElementById(id);
  if (!part) return;
  const again = mark && [...part.querySelectorAll("input, button, summary, textarea, select")].find((e) => markOf(e) === mark);
  const problem = document.getElementById("problem");
  if (problem && part.contains(problem)) problem.focus();
  else if (again) again.focus({ preventScroll: true });
  else if (home && document.getElementById(home)) document.getElementById(home).focus({ preventScroll: true });
}

const markOf = (e) => e && [e.tagName, e.type || "", e.name || e.id || "", e.value || ""].join("|");

function busy(on) {
  const impact = document.getElementById("impact");
  const form = editor();
  if (form) form.toggleAttribute("data-busy", on);
  if (!impact) return;
  impact.toggleAttribute("data-busy", on);
  impact.querySelector(".working").hidden = !on;
  impact.querySelector("progress").value = 0;
}

// marks shows "changed" where the form differs from what is saved.
function marks(doc) {
  const list = doc.getElementById("marks");
  if (!list) return;
  const fields = new Set([...list.children].map((li) => li.textContent.trim()));
  for (const tag of document.querySelectorAll("[data-changed]")) tag.hidden = !fields.has(tag.dataset.changed);
  editor().toggleAttribute("data-dirty", fields.size > 0);
  if (list.dataset.wrong !== undefined) return;
  // Nothing is wrong any more: what was said at the fields goes.
  for (const text of editor().querySelectorAll(".err-text")) text.remove();
  for (const field of editor().querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

// The age of the figures, by the clock of this browser since they came.
let came = performance.now();
const units = [["second", 60], ["minute", 60], ["hour", 24], ["day", Infinity]];
function age() {
  const el = document.querySelector("time[data-age]");
  if (!el) return;
  let n = Math.round((performance.now() - came) / 1000);
  for (const [unit, most] of units) {
    if (n < most) {
      el.textContent = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", { numeric: "auto" }).format(-n, unit);
      return;
    }
    n = Math.round(n / most);
  }
}
age();
setInterval(age, 5000);

async function workOut() {
  const form = editor();
  if (!form) return;
  if (running) running.stop();
  busy(true);
  const fields = fieldsOf(form);
  fields.append("do", "check");
  fields.append("part", "impact");
  const bar = document.querySelector("#impact progress");
  const mine = send(form.action, fields, (bytes) => { if (bar && bytes <= 100) bar.value = bytes; });
  running = mine;
  try {
    const doc = await mine.done;
    if (running !== mine) return;
    if (!doc.getElementById("savebar")) throw new Error("another page");
    running = null;
    const mark = markOf(document.activeElement);
    for (const part of ["impact", "savebar"]) {
      const held = document.getElementById(part) && document.getElementById(part).contains(document.activeElement);
      if (swap(doc, part) && held) keepFocus(part, mark);
    }
    marks(doc);
    came = performance.now();
    age();
    busy(false);
    const title = document.getElementById("impact-title");
    if (title) say(title.textContent);
  } catch (err) {
    if (err.name === "AbortError" || running !== mine) return;
    instead(form); // the whole page tells what is the matter
  }
}

// instead sends a form as if there were no script.
function instead(form, button) {
  running = null;
  leaving = true;
  if (button && button.isConnected) form.requestSubmit(button);
  else form.submit();
}

function later() {
  clearTimeout(timer);
  busy(true);
  timer = setTimeout(workOut, pause);
}

// press sends the form of a button that stays on the page.
async function press(form, button) {
  const { swap: part, home } = button.dataset;
  const mark = markOf(document.activeElement);
  const doc = await send(form.action, fieldsOf(form, button)).done;
  if (!swap(doc, part)) { // another page: to sign in again, say
    instead(form, button);
    return;
  }
  keepFocus(part, mark, home);
  if (part === "policy") settled();
}

// settled: the whole form is new, and its impact with it.
function settled() {
  clearTimeout(timer);
  if (running) running.stop();
  running = null;
  came = performance.now();
  age();
  const title = document.getElementById("impact-title");
  if (title) say(title.textContent);
}

async function openPicker(form, button) {
  const doc = await send(form.action, fieldsOf(form, button)).done;
  const picker = doc.getElementById("picker");
  if (!picker) {
    instead(form, button);
    return;
  }
  dialog.replaceChildren(document.importNode(picker, true));
  dialog.showModal();
  dialog.querySelector("#picker-q").focus();
}

async function inPicker(form, button) {
  const value = button ? button.value : "pick";
  if (value === "unpick") {
    dialog.close();
    return;
  }
  const doc = await send(form.action, fieldsOf(form, button && button.value ? button : { name: "do", value: "pick" })).done;
  if (value === "picked") {
    if (!swap(doc, "policy")) {
      instead(form, button);
      return;
    }
    dialog.close();
    settled();
    const first = document.querySelector("#models button");
    if (first) first.focus();
    return;
  }
  // What was ticked while the reply was on its way stays ticked.
  const at = document.querySelector("#picker-list").scrollTop;
  const ticks = new Map([...document.querySelectorAll("#picker-list input[name=model]")].map((box) => [box.value, box.type === "hidden" || box.checked]));
  swap(doc, "picker-list");
  swap(doc, "picker-foot");
  for (const box of document.querySelectorAll("#picker-list input[type=checkbox][name=model]")) {
    if (ticks.has(box.value)) box.checked = ticks.get(box.value);
    ticks.delete(box.value);
  }
  const there = new Set([...document.querySelectorAll("#picker-list input[name=model]")].map((box) => box.value));
  for (const [model, on] of ticks) {
    if (!on || there.has(model)) continue;
    const kept = document.createElement("input");
    kept.type = "hidden";
    kept.name = "model";
    kept.value = model;
    document.getElementById("picker-list").append(kept);
  }
  figures(form);
  if (value === "more") document.querySelector("#picker-list").scrollTop = at;
}

// figures counts along with what is ticked in the picker.
function figures(form) {
  const foot = form.querySelector("#picker-foot [role=status]");
  if (!foot) return;
  const { total, fits, mode } = foot.dataset;
  let n = form.querySelectorAll("#picker-list input[type=hidden][name=model]").length, keys = Number(fits);
  for (const box of form.querySelectorAll('#picker-list input[type=checkbox][name=model]:checked')) {
    n += 1;
    keys += Number(box.dataset.n) - (mode === "deny" ? 0 : Number(box.dataset.claimed));
  }
  foot.querySelector("[data-figure=chosen]").textContent = n;
  foot.querySelector("[data-figure=keys]").textContent = mode === "deny" ? keys : Number(total) - keys;
}

document.addEventListener("submit", (event) => {
  const form = event.target, button = event.submitter;
  if (leaving) return;
  if (form.id === "picker" && dialog && dialog.contains(form)) {
    event.preventDefault();
    inPicker(form, button).catch(() => instead(form, button));
    return;
  }
  if (form.id !== "policy" || !form.classList.contains("edit")) return;
  if (!button || button.value === "check" && !button.dataset.swap) {
    event.preventDefault();
    clearTimeout(timer);
    workOut();
  } else if (button.dataset.save !== undefined) {
    if (form.hasAttribute("data-busy")) { // saving waits for the figures
      event.preventDefault();
      button.focus();
    } else leaving = true;
  } else if (button.dataset.dialog !== undefined && dialog && dialog.showModal) {
    event.preventDefault();
    openPicker(form, button).catch(() => instead(form, button));
  } else if (button.dataset.swap) {
    event.preventDefault();
    press(form, button).catch(() => instead(form, button));
  }
});

document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (!form) return;
  if (form.id === "picker") {
    if (event.target.name === "model") figures(form);
    else if (event.target.name !== "q" && dialog && dialog.contains(form)) inPicker(form, null).catch(() => {});
    return;
  }
  if (form.id === "policy" && form.classList.contains("edit") && !passive(event.target.name) && !typed(event.target)) later();
});

// typed fields have told each stroke already.
const typed = (field) => field.matches("input:not([type=checkbox]):not([type=radio]), textarea");

// passive fields are no settings until a button is pressed.
const passive = (name) => name === "paste" || name.startsWith("find.") || name.startsWith("pair.");

let typing = 0;
document.addEventListener("input", (event) => {
  const field = event.target, form = field.form;
  if (!form) return;
  if (form.id === "picker" && field.name === "q" && dialog && dialog.contains(form)) {
    clearTimeout(typing);
    typing = setTimeout(() => inPicker(form, null).catch(() => {}), searchPause);
  } else if (form.id === "policy" && form.classList.contains("edit") && typed(field)) {
    if (field.name.startsWith("find.")) {
      clearTimeout(typing);
      const button = form.querySelector(`[data-swap="who-${CSS.escape(field.name.slice(5))}"]`);
      if (field.value.trim() !== "") typing = setTimeout(() => find(form, button, field).catch(() => {}), searchPause);
    } else if (!passive(field.name)) later();
  }
});

// find looks people up while one types, and leaves the cursor where it is.
async function find(form, button, field) {
  const at = field.selectionStart;
  const doc = await send(form.action, fieldsOf(form, button)).done;
  const now = form.elements.namedItem(field.name);
  if (!now || now.value !== field.value || !swap(doc, button.dataset.swap)) return;
  const again = editor().elements.namedItem(field.name);
  again.focus({ preventScroll: true });
  again.setSelectionRange(at, at);
}

addEventListener("beforeunload", (event) => {
  const form = editor();
  if (!leaving && form && form.hasAttribute("data-dirty")) event.preventDefault();
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-action=drop]")) leaving = true;
});

// A browser may bring back what was typed before a reload or on the way back.
const restored = (e) => e.name && !e.hidden && e.type !== "hidden" && !passive(e.name) && (/checkbox|radio/.test(e.type) ? e.checked !== e.defaultChecked : e.defaultValue !== undefined && e.value !== e.defaultValue);
addEventListener("pageshow", () => {
  leaving = false;
  const form = editor();
  if (form && form.classList.contains("edit") && [...form.elements].some(restored)) later();
});

if (dialog) dialog.addEventListener("close", () => dialog.replaceChildren());
