// Keeps the detour in place, and takes a tab's pass away once it was used: a
// header is good for one request.

import { lead, spend } from "./rules.js";

chrome.runtime.onInstalled.addListener(() => lead());
chrome.runtime.onStartup.addListener(() => lead());
lead();

function over({ tabId, frameId, url }) {
  if (frameId === 0 && !url.startsWith(chrome.runtime.getURL(""))) {
    spend(tabId);
  }
}
chrome.webNavigation.onCommitted.addListener(over);
chrome.webNavigation.onErrorOccurred.addListener(over);
chrome.tabs.onRemoved.addListener((tabId) => spend(tabId));
