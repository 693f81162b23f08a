// A sign-in request waits here while the agent makes its header, and then goes
// on. Whatever goes wrong, it goes on without: the server then asks the person.

import { host, isSignIn, pass } from "./rules.js";

// patience is how long the agent gets before the person signs in by hand.
const patience = 8000;

async function ask(url) {
  const late = new Promise((resolve) => setTimeout(resolve, patience));
  try {
    const answer = await Promise.race([chrome.runtime.sendNativeMessage(host, { type: "header", url }), late]);
    if (answer?.name && answer.value) {
      return { name: answer.name, value: answer.value };
    }
    if (answer?.error) {
      console.warn("no device sign-in:", answer.error);
    }
  } catch (cause) {
    console.warn("the agent does not answer:", cause.message);
  }
  return null;
}

// first says whether this nonce of the server is new. One that was answered
// and comes back was refused; a second answer would be refused as well.
async function first(url) {
  const nonce = new URL(url).searchParams.get("sso_nonce");
  if (!nonce) {
    return true;
  }
  const { seen = [] } = await chrome.storage.session.get("seen");
  if (seen.includes(nonce)) {
    return false;
  }
  await chrome.storage.session.set({ seen: [...seen, nonce].slice(-50) });
  return true;
}

async function hop() {
  const url = location.hash.slice(1);
  if (!isSignIn(url)) {
    document.querySelector("p").textContent = "There is nothing to sign in to here.";
    return;
  }
  const tab = await chrome.tabs.getCurrent();
  const header = (await first(url)) ? await ask(url) : null;
  await pass(tab.id, url, header);
  location.replace(url);
}

hop();
