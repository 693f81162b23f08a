// What the app keeps on this phone: its accounts with their keys, which no
// script can read out, the history as last seen, and a few notes. The worker
// holds this file, too.

let opening;

const database = () =>
  (opening ||= new Promise((done, broke) => {
    const ask = indexedDB.open("signet-phone", 1);
    ask.onupgradeneeded = () => {
      ask.result.createObjectStore("accounts", { keyPath: "phone" });
      ask.result.createObjectStore("history", { keyPath: "phone" });
      ask.result.createObjectStore("notes", { keyPath: "name" });
    };
    ask.onsuccess = () => {
      ask.result.onclose = () => (opening = undefined); // the system took it away
      ask.result.onversionchange = () => {
        ask.result.close();
        opening = undefined;
      };
      done(ask.result);
    };
    ask.onerror = () => {
      opening = undefined;
      broke(ask.error);
    };
  }));

async function work(stores, mode, act) {
  const tx = (await database()).transaction(stores, mode);
  const ask = act(tx);
  return new Promise((done, broke) => {
    tx.oncomplete = () => done(ask && ask.result);
    tx.onabort = tx.onerror = () => broke(tx.error);
  });
}

export const accounts = async () =>
  (await work("accounts", "readonly", (tx) => tx.objectStore("accounts").getAll())).sort((a, b) => a.added - b.added);

export const keepAccount = (account) => work("accounts", "readwrite", (tx) => tx.objectStore("accounts").put(account));

// dropAccount takes an account away with all that was kept of it.
export const dropAccount = (phone) =>
  work(["accounts", "history"], "readwrite", (tx) => {
    tx.objectStore("accounts").delete(phone);
    tx.objectStore("history").delete(phone);
  });

export const keptHistory = (phone) => work("history", "readonly", (tx) => tx.objectStore("history").get(phone));

export const keepHistory = (phone, entries, at) =>
  work("history", "readwrite", (tx) => tx.objectStore("history").put({ phone, entries, at }));

export const note = async (name) => (await work("notes", "readonly", (tx) => tx.objectStore("notes").get(name)))?.value;

export const keepNote = (name, value) => work("notes", "readwrite", (tx) => tx.objectStore("notes").put({ name, value }));
