// A sign-in request waits here while the agent makes its header, and then goes
// on. Whatever fails or hangs, it goes on without: the server then asks the
// person.

import { aside, host, isSignIn, pass } from "./rules.js";

// patience is how long the agent gets before the person signs in by hand, and
// longest how long anything at all keeps them here.
const patience = 8000;
const longest = 10000;

// A tab that was here for one request this often within a minute goes round in
// circles.
const rounds = 5;

function after(time) {
  return new Promise((resolve) => setTimeout(resolve, time));
}

async function ask(url) {
  try {
    const answer = await Promise.race([chrome.runtime.sendNativeMessage(host, { type: "header", url }), after(patience)]);
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

// circling notes that this tab is here, and says whether it was too often for
// this request. Each nonce of the server makes it another address.
function circling(url) {
  const request = new URL(url);
  request.searchParams.delete("sso_nonce");
  const visits = JSON.parse(sessionStorage.getItem("visits") ?? "[]").filter(({ time }) => time > Date.now() - 60000);
  sessionStorage.setItem("visits", JSON.stringify([...visits, { time: Date.now(), request }]));
  return visits.filter((visit) => visit.request === request.href).length >= rounds;
}

// prepared gives the request its pass, and says whether it has one.
async function prepared(url) {
  if (circling(url)) {
    return false;
  }
  const tab = await chrome.tabs.getCurrent();
  const header = (await first(url)) ? await ask(url) : null;
  await pass(tab.id, url, header);
  return true;
}

async function hop() {
  const url = location.hash.slice(1);
  if (!isSignIn(url)) {
    document.querySelector("p").textContent = "There is nothing to sign in to here.";
    return;
  }
  let ready = false;
  try {
    ready = await Promise.race([prepared(url), after(longest)]);
  } catch (cause) {
    console.warn("no pass:", cause.message);
  }
  location.replace(ready ? url : aside(url));
}

hop();
