/** What this browser keeps: one database per user, with rooms, names and the outbox. Everything in it can be lost without harm but the outbox. */

const NAME = (user) => `lynk-${user}`;
const STORES = ['outbox', 'rooms', 'users'];

const result = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** The database of `user`; where the browser has none (some private windows), memory that lasts as long as the page. */
export class Storage {
  #db;
  #memory = Object.fromEntries(STORES.map((store) => [store, new Map()]));

  static async open(user) {
    const storage = new Storage();
    try {
      const request = indexedDB.open(NAME(user), 1);
      request.onupgradeneeded = () => { for (const store of STORES) request.result.createObjectStore(store, { keyPath: 'id' }); };
      storage.#db = await result(request);
      // Another tab signs out and deletes the database.
      storage.#db.onversionchange = () => { storage.#db?.close(); storage.#db = undefined; };
    } catch { /* Memory it is. */ }
    return storage;
  }

  static forget(user) {
    try { indexedDB.deleteDatabase(NAME(user)); } catch { /* There was none. */ }
  }

  #store(name, mode) { return this.#db.transaction(name, mode).objectStore(name); }

  async all(store) {
    return this.#db ? result(this.#store(store, 'readonly').getAll()) : [...this.#memory[store].values()];
  }

  async put(store, ...items) {
    if (!this.#db) { for (const item of items) this.#memory[store].set(item.id, item); return; }
    const target = this.#store(store, 'readwrite');
    await Promise.all(items.map((item) => result(target.put(item))));
  }

  async remove(store, id) {
    if (!this.#db) { this.#memory[store].delete(id); return; }
    await result(this.#store(store, 'readwrite').delete(id));
  }
}

/**
 * The outbox of one tab, in the database that all tabs share. An entry belongs to the tab that wrote it, for as long as that tab lives (it holds
 * a Web Lock of its name); what a closed tab left is taken over by the next one. Two tabs that send the same entry do no harm: it has one key.
 */
export class Outbox {
  #storage;
  #tab = `lynk-tab-${Math.random().toString(36).slice(2)}`;

  /** Lets others take over what is left: this page goes on without it. */
  release;

  constructor(storage) {
    this.#storage = storage;
    const released = new Promise((resolve) => { this.release = resolve; });
    navigator.locks?.request(this.#tab, () => released);
  }

  async load() {
    const held = new Set((await navigator.locks?.query())?.held.map((lock) => lock.name) ?? []);
    const left = (await this.#storage.all('outbox')).filter((entry) => entry.tab !== this.#tab && !held.has(entry.tab));
    left.sort((a, b) => a.created - b.created);
    await this.#storage.put('outbox', ...left.map((entry) => ({ ...entry, tab: this.#tab })));
    return left;
  }

  put(entry) { return this.#storage.put('outbox', { ...entry, tab: this.#tab }); }

  remove(id) { return this.#storage.remove('outbox', id); }
}

const safely = (action) => { try { return action(); } catch { return undefined; } };

/** Small settings that all tabs share. */
export const settings = {
  get: (name) => safely(() => localStorage.getItem(`lynk.${name}`)) ?? undefined,
  set: (name, value) => safely(() => (value === undefined || value === '' ? localStorage.removeItem(`lynk.${name}`) : localStorage.setItem(`lynk.${name}`, value))),
  /** Calls `listener` when another tab changes `name`. */
  watch: (name, listener) => addEventListener('storage', (event) => { if (event.key === `lynk.${name}`) listener(event.newValue ?? undefined); }),
  forget: (prefix) => safely(() => {
    for (const key of Object.keys(localStorage)) if (key.startsWith(`lynk.${prefix}`)) localStorage.removeItem(key);
  }),
};
