// Words, views and times of the app. A view is a template of the page; what a
// script puts in goes in as text, never as HTML.

export const boot = JSON.parse(document.getElementById("boot").textContent);

export const t = (key, slots = {}) => (boot.words[key] ?? key).replace(/\{([a-z]+)\}/g, (all, name) => (name in slots ? slots[name] : all));

const main = document.getElementById("main");
const status = document.getElementById("said");

// say tells it to whoever listens instead of looking.
export const say = (text) => {
  status.textContent = text;
};

export const part = (name) => document.getElementById("v-" + name).content.cloneNode(true).firstElementChild;

// fill puts values where data-t names them; what is empty is taken away.
export function fill(root, values) {
  for (const el of root.querySelectorAll("[data-t]")) {
    const value = values[el.dataset.t];
    if (value === undefined) continue;
    if (value === "" || value === false || value === null) el.remove();
    else if (value instanceof Node) el.replaceChildren(value);
    else if (value !== true) el.textContent = value;
  }
  return root;
}

// show puts a view in the place of the one before, and leads readers to its title.
export function show(name, values = {}) {
  const view = fill(part(name), values);
  main.replaceChildren(view);
  const title = view.querySelector("h1");
  document.title = title.textContent + " – " + t("app.name");
  title.tabIndex = -1;
  title.focus();
  scrollTo(0, 0);
  document.body.dataset.view = name;
  return view;
}

// press runs fn when something with this data-action in root is pressed.
export const press = (root, action, fn) => {
  for (const el of root.querySelectorAll(`[data-action="${action}"]`)) el.addEventListener("click", (event) => fn(event, el));
};

// busy changes a button's word and keeps its width; it gives back the way back.
export function busy(button, word) {
  const label = button.querySelector("span") || button;
  const before = label.textContent;
  button.style.setProperty("min-inline-size", button.offsetWidth + "px");
  button.setAttribute("aria-busy", "true");
  label.textContent = word;
  return () => {
    label.textContent = before;
    button.removeAttribute("aria-busy");
    button.style.removeProperty("min-inline-size");
  };
}

// alarm shows what went wrong in the view's own place for it; "" takes it away.
export function alarm(root, text) {
  const box = root.querySelector("[data-alarm]");
  box.querySelector("p").textContent = text;
  box.hidden = !text;
  if (text) box.scrollIntoView({ block: "nearest" });
}

// brand is whose page it is: an organisation's, or Signet's own.
export function brand(name) {
  const box = document.getElementById("brand");
  if (!name) {
    box.replaceChildren(part("mark"));
    return;
  }
  const org = part("org");
  org.querySelector("text").textContent = (name.match(/[\p{L}\p{N}]/u) || ["·"])[0].toUpperCase();
  org.querySelector("span").textContent = name;
  box.replaceChildren(org);
}

// words for what went wrong with a request to the server.
export function wrongly(wrong) {
  if (wrong.word === "offline") return t("wrong.offline");
  if (wrong.word === "too_many") return t("wrong.many");
  return wrong.message && wrong.word ? wrong.message : t("wrong.other");
}

const page = document.documentElement.lang || "en";
const lang = (navigator.languages || []).find((l) => l.split("-")[0] === page.split("-")[0]) || page;

export const clock = (date) => new Intl.DateTimeFormat(lang, { hour: "numeric", minute: "2-digit" }).format(date);

export const seconds = (n) => new Intl.RelativeTimeFormat(lang, { numeric: "always" }).format(-n, "second");

const midnight = (d) => new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();

export function day(date) {
  const ago = Math.round((midnight(new Date()) - midnight(date)) / 86400000);
  if (ago > 1) return new Intl.DateTimeFormat(lang, { weekday: "long", day: "numeric", month: "long" }).format(date);
  const name = new Intl.RelativeTimeFormat(lang, { numeric: "auto" }).format(-ago, "day");
  return name.charAt(0).toUpperCase() + name.slice(1);
}

const country = (code) => {
  try {
    return new Intl.DisplayNames(lang, { type: "region" }).of(code);
  } catch {
    return code;
  }
};

// place is where a request came from, as far as anybody can know.
export function place(context) {
  const { kind, country: code, ip = "" } = context.place || {};
  switch (kind) {
    case "country":
      return { name: country(code), note: context.network ? t("place.near.network", { network: context.network }) : t("place.near") };
    case "private":
      return { name: t("place.private"), note: ip };
    case "this":
      return { name: t("place.this"), note: "" };
    case "unknown":
      return { name: t("place.unknown"), note: ip };
  }
  return undefined; // the organisation does not show it
}

export const appOf = (context) => context.app || t("request.app.none");

// read gives what a request shows; a text that is not one shows nothing.
export function read(text) {
  try {
    return JSON.parse(text) || {};
  } catch {
    return {};
  }
}
