// Setting up Macs: the list of those that have registered, read again while one
// waits, and the new tokens as a file. Without a script the page loads itself
// again, and the button beside makes the file.

import { say, times } from "./page.js";

const every = 4000;

// read gives a page as a document. One that the browser read like this runs
// no script, and nothing here turns text into HTML.
function read(url) {
  const request = new XMLHttpRequest();
  return new Promise((resolve, reject) => {
    request.open("GET", url);
    request.responseType = "document";
    request.timeout = 10000;
    request.addEventListener("load", () => (request.status === 200 && request.response ? resolve(request.response) : reject(new Error("no document"))));
    for (const end of ["error", "timeout", "abort"]) request.addEventListener(end, () => reject(new Error(end)));
    request.send();
  });
}

let busy = false;

async function look() {
  const old = document.getElementById("macs");
  // A link in the list that somebody is on is not taken from under them.
  if (!old || busy || document.hidden || old.contains(document.activeElement)) return;
  busy = true;
  try {
    const fresh = (await read(old.dataset.live)).getElementById("macs");
    if (!fresh || fresh.textContent.trim() === old.dataset.was) return;
    const copy = document.importNode(fresh, true);
    copy.dataset.was = fresh.textContent.trim();
    const first = old.dataset.was === undefined;
    const known = new Set([...old.querySelectorAll(".what")].map((what) => what.textContent));
    old.replaceWith(copy);
    times(copy);
    // What is new of it, for those who do not see it.
    const news = [...copy.querySelectorAll(".what")].find((what) => !known.has(what.textContent));
    if (!first) say(news ? [...news.querySelectorAll("b, .track > li, p")].map((part) => part.textContent).join(", ") : copy.querySelector("[role=status]").textContent);
  } catch {
    // The next look may find the server again.
  } finally {
    busy = false;
  }
}

if (document.getElementById("macs")) {
  setInterval(look, every);
  document.addEventListener("visibilitychange", look);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-save]");
  if (!button) return;
  const text = document.getElementById(button.dataset.save).textContent.trim() + "\r\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = button.dataset.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
});
