// What both pages of the extension know: which addresses are the server's,
// and the two rules that the browser's network layer is given.

// host is the name under which the agent is installed for browsers.
export const host = "org.signetid.device";

// The rule that leads a sign-in request round by hop.html. It is one for all
// tabs; the passes of single tabs are numbered from 2 up.
const detour = 1;

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

// lead sends every sign-in request of the main frame round by hop.html.
export async function lead() {
  const rules = servers().map((server, n) => {
    const at = new URL(server);
    const origin = `${quoted(at.protocol + "//" + at.hostname)}${at.port ? ":" + at.port : "(:[0-9]+)?"}`;
    return {
      id: detour + n,
      priority: 1,
      action: { type: "redirect", redirect: { regexSubstitution: chrome.runtime.getURL("hop.html") + "#\\0" } },
      condition: {
        regexFilter: `^${origin}/[^/?#]+/oauth2/(v2\\.0/)?authorize\\?.*`,
        isUrlFilterCaseSensitive: false,
        resourceTypes: ["main_frame"],
        requestMethods: ["get"],
      },
    };
  });
  const old = await chrome.declarativeNetRequest.getSessionRules();
  await chrome.declarativeNetRequest.updateSessionRules({ removeRuleIds: old.map((rule) => rule.id), addRules: rules });
}

// passId numbers the pass of a tab: one request at a time.
function passId(tab) {
  return 1000 + tab;
}

// pass lets one tab make one request, with the header when there is one.
export async function pass(tab, url, header) {
  const condition = { urlFilter: `|${url}|`, tabIds: [tab], resourceTypes: ["main_frame"], requestMethods: ["get"] };
  if (/[*^|]/.test(url)) {
    // These mean something else in a filter; only the text itself is meant.
    delete condition.urlFilter;
    condition.regexFilter = `^${quoted(url)}$`;
  }
  const addRules = [{ id: 2 * passId(tab), priority: 2, action: { type: "allow" }, condition }];
  if (header) {
    // Above the allow, which otherwise covers headers too.
    const requestHeaders = [{ header: header.name, operation: "set", value: header.value }];
    addRules.push({ id: 2 * passId(tab) + 1, priority: 3, action: { type: "modifyHeaders", requestHeaders }, condition });
  }
  await chrome.declarativeNetRequest.updateSessionRules({ removeRuleIds: ids(tab), addRules });
}

function ids(tab) {
  return [2 * passId(tab), 2 * passId(tab) + 1];
}

// spend takes the pass of a tab away.
export async function spend(tab) {
  await chrome.declarativeNetRequest.updateSessionRules({ removeRuleIds: ids(tab) });
}
