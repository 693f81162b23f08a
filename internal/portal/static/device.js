"use strict";
// Looks every two seconds whether the other machine has come, without a new
// page, so that nothing is read out twice. Without this script the page is
// loaded anew every five seconds.
const waiting = document.getElementById("waiting");
const look = waiting && waiting.dataset.look;
if (look) {
  const from = Date.now();
  const again = async () => {
    try {
      const reply = await fetch(look, { cache: "no-store" });
      if (reply.ok && (await reply.text()).includes('data-look="')) {
        if (Date.now() - from > 20000) document.getElementById("late").hidden = false;
        setTimeout(again, 2000);
        return;
      }
    } catch {
      setTimeout(again, 2000);
      return;
    }
    location.replace(look);
  };
  setTimeout(again, 2000);
}
