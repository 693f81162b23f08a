// One sign-in that waits: what it is, the two digits, yes and no.

import { t, show, fill, say, press, busy, alarm, brand, wrongly, clock, seconds, place, appOf } from "./ui.js";
import { call } from "./wire.js";
import { approve, cancelled, stop } from "./passkey.js";

const calmly = matchMedia("(prefers-reduced-motion: reduce)");
const ticks = 40;

// openRequest shows an item until it is over. item is {account, request,
// context, until}, until by this phone's clock. over is called with a result
// once nothing can be answered any more, leave when its person goes on.
export function openRequest(item, { over, leave, gone }) {
  const { account, request, context } = item;
  const address = "/requests/" + request.id;
  let state = "asking", number = "", told = 0, timer, view;

  const left = () => Math.max(0, Math.ceil((item.until - Date.now()) / 1000));

  function facts() {
    const where = place(context);
    fill(view, {
      title: context.app ? t("request.title", { app: context.app }) : t("request.title.none"),
      account: item.several ? account.user.name : "",
      place: where ? where.name : "", near: where ? where.note : "", placed: !!where,
      browser: context.browser || t("request.browser.none"),
      fresh: context.known ? "" : true, known: context.known ? true : "",
      country: (context.warn || []).includes("country") ? true : "", hosting: (context.warn || []).includes("hosting") ? true : "",
      odd: (context.warn || []).some((w) => w !== "country" && w !== "hosting") ? true : "",
      warned: (context.warn || []).length ? true : "",
    });
    brand(account.tenant.name);
    document.getElementById("ring").hidden = false;
    tick();
    timer ||= setInterval(tick, 1000);
    press(view, "deny", deny);
  }

  function tick() {
    const rest = left();
    if (!rest && state === "asking") return finish("late");
    const shown = calmly.matches ? Math.ceil(rest / 10) * 10 : rest;
    const whole = Math.max(1, (Date.parse(request.expires) - Date.parse(request.created)) / 1000);
    document.getElementById("left").textContent = Math.floor(shown / 60) + ":" + String(shown % 60).padStart(2, "0");
    document.getElementById("arc").setAttribute("stroke-dasharray", (Math.min(1, shown / whole) * ticks).toFixed(1) + " " + ticks);
    const since = Math.max(0, Math.round(whole - rest));
    const time = view.querySelector('[data-t="time"]');
    if (time) time.textContent = t("request.time", { clock: clock(new Date(context.time || request.created)), ago: seconds(calmly.matches ? Math.floor(since / 10) * 10 : since) });
    if (told > 60 && rest <= 60) say(t("request.left.sixty"));
    if (told > 20 && rest <= 20) say(t("request.left.twenty"));
    told = rest;
  }

  // ask is the page with the pad. A request that something speaks against gets
  // here only after its person typed that it is theirs.
  function ask() {
    view = show("request");
    facts();
    const field = view.querySelector('[name="number"]');
    const put = (digits) => {
      number = digits.replace(/\D/g, "").slice(0, 2);
      field.value = number;
      const slots = view.querySelectorAll(".slots output");
      slots.forEach((slot, n) => {
        const digit = number[n] || t("number.empty");
        slot.textContent = number[n] || "";
        slot.classList.toggle("next", n === number.length);
        slot.setAttribute("aria-label", n ? t("number.second", { digit }) : t("number.first", { digit }));
      });
      const button = view.querySelector('[data-action="approve"]');
      if (number.length < 2) button.setAttribute("aria-disabled", "true");
      else {
        button.removeAttribute("aria-disabled");
        alarm(view, "");
      }
    };
    put("");
    field.addEventListener("input", () => put(field.value));
    view.querySelector(".slots").addEventListener("click", () => field.focus());
    for (const key of view.querySelectorAll("[data-digit]")) key.addEventListener("click", () => state === "asking" && put(number + key.dataset.digit));
    press(view, "erase", () => put(number.slice(0, -1)));
    view.onkeys = (event) => {
      if (state !== "asking" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
      if (/^\d$/.test(event.key)) put(number + event.key);
      else if (event.key === "Backspace") put(number.slice(0, -1));
      else if (event.key !== "Enter" || event.target.matches("button, a")) return;
      else yes();
      event.preventDefault();
    };
    view.addEventListener("submit", (event) => {
      event.preventDefault();
      yes();
    });
  }

  function beware() {
    view = show("beware");
    facts();
    const field = view.querySelector('[name="confirm"]');
    view.addEventListener("submit", (event) => {
      event.preventDefault();
      if (state !== "asking") return;
      if (field.value.trim().toLowerCase() === t("beware.word").toLowerCase()) return ask();
      field.setAttribute("aria-invalid", "true");
      alarm(view, t("beware.other", { word: t("beware.word") }));
      field.focus();
    });
  }

  async function yes() {
    if (state !== "asking") return;
    if (number.length < 2) return alarm(view, t("number.both"));
    state = "busy";
    alarm(view, "");
    const back = busy(view.querySelector('[data-action="approve"]'), t("request.checking"));
    try {
      const answer = await approve(account, request, number);
      const { result } = await call(account, "POST", address + "/approve", answer);
      return finish(result);
    } catch (wrong) {
      back();
      stuck(wrong, cancelled(wrong) ? t("request.cancelled") : undefined);
    }
  }

  async function deny(_, button) {
    if (state !== "asking") {
      if (state === "busy") stop(); // the prompt of the passkey is open: close it
      return;
    }
    state = "busy";
    alarm(view, "");
    const back = busy(button, t("request.refusing"));
    try {
      await call(account, "POST", address + "/deny", { report: false });
      finish("denied");
    } catch (wrong) {
      back();
      stuck(wrong);
    }
  }

  // stuck goes on asking when that can still be of use.
  function stuck(wrong, text) {
    if (wrong.word === "request_over" || wrong.word === "request_unknown") return finish("over");
    if (wrong.word === "phone_unproven") {
      close();
      return gone(account);
    }
    state = "asking";
    if (!left()) return finish("late");
    alarm(view, text || wrongly(wrong));
  }

  async function report(_, button) {
    const back = busy(button, t("request.reporting"));
    try {
      await call(account, "POST", address + "/deny", { report: true });
      result("reported");
    } catch (wrong) {
      back();
      if (wrong.word === "request_over" || wrong.word === "request_unknown") return result("over");
      alarm(view, wrongly(wrong));
    }
  }

  function result(word) {
    view = show("end-" + (["approved", "denied", "reported", "wrong_number", "late", "mistake"].includes(word) ? word : "over"), { text: t("end.approved.text", { app: appOf(context) }) });
    press(view, "done", leave);
    press(view, "report", report);
    press(view, "mistake", () => result("mistake"));
    if (word === "denied" && !account.report) view.querySelector("[data-report]").remove();
    else if (word === "denied") view.querySelector("[data-plain]").remove();
  }

  function finish(word) {
    state = "over";
    close();
    over(word);
    result(word);
  }

  function close() {
    clearInterval(timer);
    document.getElementById("ring").hidden = true;
    removeEventListener("keydown", keys);
  }

  const keys = (event) => view.onkeys && view.onkeys(event);
  addEventListener("keydown", keys);
  if ((context.warn || []).length) beware();
  else ask();

  return {
    id: request.id,
    // withdrawn: the server no longer has it, and this phone has not answered.
    withdrawn: () => state === "asking" && finish(left() ? "over" : "late"),
    close,
    get asking() {
      return state !== "over";
    },
  };
}
