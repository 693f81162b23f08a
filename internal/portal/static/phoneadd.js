// Adding a phone: waits until it has come, says how long the code is good for,
// copies it. Without this script the page is loaded anew every five seconds.

import { words } from "./page.js";

const box = document.getElementById("waiting");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// The server answers when there is news, or after a while. What it cannot say
// (another session, a code that is over) the page itself says when it is loaded.
async function wait() {
  for (;;) {
    try {
      const reply = await fetch(box.dataset.wait, { cache: "no-store", headers: { Accept: "application/json" } });
      if (reply.ok ? (await reply.json()).state !== box.dataset.state : reply.status < 500 && reply.status !== 429) break;
      if (!reply.ok) await pause(3000);
    } catch {
      await pause(3000); // the network is away for a moment
    }
  }
  location.replace(box.dataset.here);
}

function clock() {
  const until = performance.now() + Number(box.dataset.left) * 1000;
  const left = document.getElementById("left");
  const tick = () => {
    const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
    left.textContent = words("say-left").replace("{left}", Math.floor(seconds / 60) + ":" + String(seconds % 60).padStart(2, "0"));
    if (seconds > 0) setTimeout(tick, 1000);
    else location.replace(box.dataset.here);
  };
  tick();
}

const copy = document.getElementById("copy");
if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById("typed").textContent);
    copy.querySelector("span").textContent = words("say-copied");
    document.getElementById("said").firstElementChild.textContent = words("say-copied");
  });
}

if (box) {
  clock();
  wait();
}
