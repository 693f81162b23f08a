// What both pages of the extension know: which addresses are the server's,
// and the rules that the browser's network layer is given.

// host is the name under which the agent is installed for browsers.
export const host = "org.signetid.device";

// Two rules for each server stand for all tabs: the detour, which leads a sign-in
// request round by hop.html, and the way past it. They are numbered from 1 up,
// the passes of single tabs from here.
const firstPass = 1000;

// past, at the end of an address, lets a request go past the detour. The server
// makes nothing of it.
const past = "without_device=1";

// servers are the addresses that the manifest lets the extension act on. A
// match pattern has no port: localhost means any.
export function servers() {
  return chrome.runtime.getManifest().host_permissions.map((pattern) => pattern.replace(/\*$/, ""));
}

// isSignIn says whether a request to url may carry the header: the authorize
// endpoint of the server, for the whole tab.
export function isSignIn(url) {
  let at;
  try {
    at = new URL(url);
  } catch {
    return false;
  }
  const here = servers().some((server) => {
    const allowed = new URL(server);
    return at.protocol === allowed.protocol && at.hostname === allowed.hostname && (allowed.port === "" || at.port === allowed.port);
  });
  return here && at.username === "" && /^\/[^/]+\/oauth2\/(v2\.0\/)?authorize$/i.test(at.pathname);
}

function quoted(text) {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}

// aside is the address that leads past the detour, when no pass can be had: it
// stands in the rules beside the detour, so where one is the other is.
export function aside(url) {
  return url + (url.includes("?") ? "&" : "?") + past;
}

// lead sends every sign-in request of the main frame round by hop.html. It is
// one step, replaces what it made before and touches no pass, so that it may
// run at any time, and several times at once.
export async function lead() {
  const addRules = servers().flatMap((server, n) => {
    const at = new URL(server);
    const origin = `${quoted(at.protocol + "//" + at.hostname)}${at.port ? ":" + at.port : "(:[0-9]+)?"}`;
    const authorize = `^${origin}/[^/?#]+/oauth2/(v2\\.0/)?authorize\\?`;
    const rule = (id, priority, action, regexFilter) => ({
      id,
      priority,
      action,
      condition: { regexFilter, isUrlFilterCaseSensitive: false, resourceTypes: ["main_frame"], requestMethods: ["get"] },
    });
    const round = { type: "redirect", redirect: { regexSubstitution: chrome.runtime.getURL("hop.html") + "#\\0" } };
    return [rule(2 * n + 1, 1, round, `${authorize}.*`), rule(2 * n + 2, 2, { type: "allow" }, `${authorize}(.*&)?${past}$`)];
  });
  await chrome.declarativeNetRequest.updateSessionRules({ removeRuleIds: addRules.map((rule) => rule.id), addRules });
}

// A rule has no room for notes. When a pass was made stands among those who may
// not have started the request, as a name that nobody has.
const note = ".made.invalid";

// pass lets one tab make one request, with the header when there is one.
export async function pass(tab, url, header) {
  // In a filter * and ^ mean more than themselves, but themselves as well.
  const condition = { urlFilter: `|${url}|`, tabIds: [tab], resourceTypes: ["main_frame"], requestMethods: ["get"] };
  condition.excludedInitiatorDomains = [Date.now() + note];
  // Browsers number tabs up to the largest id that a rule may have.
  const id = firstPass + 2 * Math.floor(Math.random() * 1e9);
  const addRules = [{ id, priority: 3, action: { type: "allow" }, condition }];
  if (header) {
    // Above the allow, which otherwise covers headers too.
    const requestHeaders = [{ header: header.name, operation: "set", value: header.value }];
    addRules.push({ id: id + 1, priority: 4, action: { type: "modifyHeaders", requestHeaders }, condition });
  }
  await chrome.declarativeNetRequest.updateSessionRules({ addRules });
}

// spend takes away the passes of a tab that were made until then, in
// milliseconds since 1970.
export async function spend(tab, until) {
  const rules = await chrome.declarativeNetRequest.getSessionRules();
  const old = rules.filter(({ id, condition }) => id >= firstPass && condition.tabIds[0] === tab && parseInt(condition.excludedInitiatorDomains[0]) <= until);
  await chrome.declarativeNetRequest.updateSessionRules({ removeRuleIds: old.map((rule) => rule.id) });
}
