// The error page: copy the slip.

import { words } from "./page.js";

const button = document.getElementById("copy");
if (button && navigator.clipboard) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const terms = [...document.querySelectorAll("#facts dt")];
    const lines = terms.map((dt) => dt.textContent + ": " + dt.nextElementSibling.textContent);
    await navigator.clipboard.writeText(lines.join("\n"));
    button.querySelector("span").textContent = words("say-copied");
    document.getElementById("copied").textContent = words("say-copied");
  });
}
