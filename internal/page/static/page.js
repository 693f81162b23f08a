// What every page with a script does.

const problem = document.getElementById("problem");
if (problem) problem.focus();

// say gives the words that the server put into a template of the page.
export const words = (name) => {
  const t = document.getElementById(name);
  return t ? t.content.textContent : "";
};

export const say = (text) => {
  const line = document.getElementById("said");
  if (line) line.textContent = text;
};

// alarm shows an error that came after an action; told is what the server said.
export function alarm(text, told) {
  const box = document.getElementById("alert");
  if (!box) return;
  box.querySelector("p").textContent = text;
  if (told && told.code) box.dataset.code = told.code;
  if (told && told.trace) box.dataset.trace = told.trace;
  box.hidden = false;
}

export function calm() {
  const box = document.getElementById("alert");
  if (box) box.hidden = true;
  say("");
}

// busy changes a button's word and keeps its width; it gives back the way back.
export function busy(button, word) {
  const label = button.querySelector("span") || button;
  const before = label.textContent;
  button.style.setProperty("min-inline-size", button.offsetWidth + "px"); // by script, which the style policy allows
  button.setAttribute("aria-disabled", "true");
  label.textContent = word;
  return () => {
    label.textContent = before;
    button.removeAttribute("aria-disabled");
  };
}

// Times come as UTC; the browser knows better where the reader is.
const day = (d) => new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();

// The page's language, as this reader writes it: en-GB rather than en.
const page = document.documentElement.lang || "en";
const lang = (navigator.languages || []).find((l) => l.split("-")[0] === page.split("-")[0]) || page;

function local(el) {
  const at = new Date(el.dateTime);
  if (isNaN(at)) return;
  if (el.dataset.style === "exact") {
    el.textContent = new Intl.DateTimeFormat(lang, { dateStyle: "long", timeStyle: "long" }).format(at);
    return;
  }
  if (el.dataset.style === "day") {
    el.textContent = new Intl.DateTimeFormat(lang, { dateStyle: "long" }).format(at);
    return;
  }
  const ago = Math.round((day(new Date()) - day(at)) / 86400000);
  const clock = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit" }).format(at);
  if (ago === 0 || ago === 1) {
    const name = new Intl.RelativeTimeFormat(lang, { numeric: "auto" }).format(-ago, "day");
    el.textContent = (el.dataset.style === "start" ? name.charAt(0).toUpperCase() + name.slice(1) : name) + " " + clock;
    return;
  }
  const date = { day: "numeric", month: "short" };
  if (at.getFullYear() !== new Date().getFullYear()) date.year = "numeric";
  el.textContent = new Intl.DateTimeFormat(lang, date).format(at) + (el.dataset.style === "start" ? " " + clock : "");
}

// times rewrites those of a part that has come later, too.
export function times(part) {
  for (const el of part.querySelectorAll("time[datetime]")) local(el);
}

times(document);
