// The account page: questions in a dialog, and signals to the passkey provider.

import { signal } from "./webauthn.js";
import "./page.js";

const dialog = document.getElementById("dialog");

// question finds what is asked before the link's deed: about a method to be
// renamed or removed, or about what an app may do.
function question(link) {
  const row = link.closest("[data-credential], [data-app]");
  if (!row) return null;
  const kind = row.dataset.app ? `app-${link.dataset.action}` : link.dataset.action;
  return document.querySelector(`template[data-${kind}="${CSS.escape(row.dataset.app || row.dataset.credential)}"]`);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-action]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (dialog.contains(link) && link.dataset.action === "cancel") {
    event.preventDefault();
    dialog.close();
    return;
  }
  const asked = question(link);
  if (!asked || !dialog.showModal) return;
  event.preventDefault();
  dialog.replaceChildren(asked.content.cloneNode(true));
  dialog.showModal();
  const field = dialog.querySelector("#name");
  if (field) field.select();
});

dialog.addEventListener("close", () => dialog.replaceChildren());

const told = document.getElementById("signals");
if (told) {
  const s = JSON.parse(told.textContent);
  await signal("signalAllAcceptedCredentials", { rpId: s.rpId, userId: s.userId, allAcceptedCredentialIds: s.allAcceptedCredentialIds });
  await signal("signalCurrentUserDetails", { rpId: s.rpId, userId: s.userId, name: s.name, displayName: s.displayName });
}
