// Keeps the detour in place, and takes a tab's pass away once it was used: a
// header is good for one request.

import { lead, spend } from "./rules.js";

chrome.runtime.onInstalled.addListener(() => lead());
chrome.runtime.onStartup.addListener(() => lead());
lead();

// The time is that of the event. This worker may have to be started for it, and
// by then the tab may have a pass for its next request.
function over({ tabId, frameId, timeStamp }) {
  if (frameId === 0) {
    spend(tabId, timeStamp);
  }
}
chrome.webNavigation.onCommitted.addListener(over);
chrome.webNavigation.onErrorOccurred.addListener(over);
chrome.tabs.onRemoved.addListener((tabId) => spend(tabId, Infinity));
