// The log: times of day where the reader is, and what is new behind a link.

const page = document.documentElement.lang || "en";
const lang = (navigator.languages || []).find((l) => l.split("-")[0] === page.split("-")[0]) || page;

for (const el of document.querySelectorAll("[data-at]")) {
  const at = new Date(el.dataset.at);
  if (!isNaN(at)) el.textContent = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(at);
}

// Nothing on the page moves by itself: new records wait behind a link.
const newer = document.querySelector("[data-newer]");

async function look() {
  if (document.hidden) return;
  try {
    const answer = await fetch(newer.dataset.newer, { headers: { Accept: "application/json" }, redirect: "error" });
    if (!answer.ok) return;
    const { count, text } = await answer.json();
    if (count === 0) return;
    const word = newer.querySelector("span");
    newer.hidden = false;
    if (word.textContent !== text) word.textContent = text;
  } catch {
    // The next look may find the server again.
  }
}

if (newer) {
  setInterval(look, 10000);
  document.addEventListener("visibilitychange", look);
}
