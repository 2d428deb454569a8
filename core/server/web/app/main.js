/** Starts the page: signed in or not, one view or the other; what concerns the whole window. */

import { LynkAccount } from '../lynk.js';
import { Chat } from './chat.js';
import { Conversation } from './conversation.js';
import { Details } from './details.js';
import { openLink } from './discover.js';
import { requestsOf, tellRequest } from './invite.js';
import { reportsOf, tellReport } from './moderation.js';
import { briefOf } from './format.js';
import { showSettings, showShortcuts } from './settings.js';
import { $, announce, h, toast } from './dom.js';
import { Sidebar } from './sidebar.js';
import { showSignIn } from './signin.js';
import { settings, Storage } from './storage.js';
import { showEnrolment } from './twostep.js';

const app = $('#app');
const TITLE = document.title;
/** Milliseconds before a lost connection is mentioned: most are back sooner. */
const QUIET_MS = 1_500;

/** Tokens, shared by all tabs of this browser. */
const memory = {};
const account = new LynkAccount({
  store: {
    get: () => {
      try { return JSON.parse(localStorage.getItem('lynk.session') ?? 'null') ?? undefined; } catch { return memory.session; }
    },
    set: (value) => {
      memory.session = value;
      settings.set('session', value && JSON.stringify(value));
    },
  },
});

let view;

/** The code of a link into a room that the page was opened with; it waits until somebody is signed in. */
let invited;

/** Takes the code from the address, where it must not stay: it is a secret, and the address is kept and shown. */
function takeLink() {
  const code = /^#join=([0-9a-f]{64})$/i.exec(location.hash)?.[1];
  if (!code) return;
  invited = code.toLowerCase();
  history.replaceState(null, '', '/#/');
}

function signIn(notice) {
  takeLink();
  view?.end();
  view = undefined;
  settled();
  history.replaceState(null, '', '/');
  document.title = `Sign in – ${TITLE}`;
  showSignIn(app, account, chat, notice);
}

/** The session whose screen asks for a second factor, while it does. */
let enrolling;

/** Nobody is asked for a second factor any more. */
function settled() {
  if (enrolling) for (const dialog of document.querySelectorAll('dialog')) dialog.close();
  enrolling = undefined;
}

/** The server demands a second factor: nothing else is open until there is one. */
function enrol() {
  if (enrolling === account.session.session) return;
  view?.end();
  view = undefined;
  enrolling = account.session.session;
  document.title = `Two-step sign-in – ${TITLE}`;
  showEnrolment(app, account, () => { if (account.session && enrolling) chat(); });
}

function chat() {
  const { user, second_factor_required: held } = account.session;
  if (!user) { account.signedOut('expired'); return; }
  if (held) { enrol(); return; }
  settled();
  view?.end();
  view = new Window(new Chat(account, `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`));
}

/** Everything a signed-in person sees. */
class Window {
  #offs = [];
  #offlineTimer;

  constructor(model) {
    this.chat = model;
    this.sidebar = new Sidebar(model, this);
    this.conversation = new Conversation(model, this);
    this.details = new Details(model, this);
    this.shell = h('div', { class: 'shell', data: { view: 'list' } }, this.sidebar.element, this.conversation.element, this.details.element);
    app.replaceChildren(this.shell);
    const listen = (target, name, action) => {
      target.addEventListener(name, action);
      this.#offs.push(() => target.removeEventListener(name, action));
    };
    listen(window, 'hashchange', () => this.route());
    listen(window, 'online', () => model.lynk?.wake());
    listen(window, 'offline', () => this.status());
    listen(window, 'focus', () => { model.lynk?.wake(); model.sync(); this.conversation.seen(); });
    listen(window, 'pagehide', () => model.flush());
    listen(document, 'visibilitychange', () => {
      if (document.hidden) model.flush();
      else { model.lynk?.wake(); model.sync(); this.conversation.seen(); }
    });
    listen(document, 'keydown', (event) => this.key(event));
    model.on('state', () => this.status());
    model.on('rooms', () => this.title());
    model.on('note', ({ text, kind }) => toast(text, { kind }));
    for (const name of ['removed', 'hidden']) model.on(name, (id) => { if (model.open === id) this.go(); });
    model.on('message', (news) => this.news(news));
    model.on('request', (news) => tellRequest(model, news, (room) => { this.go(room.id); requestsOf(model, room); }));
    model.on('report', (news) => tellReport(model, news, (room) => { this.go(room.id); reportsOf(model, room, { show: (seq) => this.conversation.goTo(seq) }); }));
    model.on('state', () => this.invited());
    model.start().then(() => { this.route(); this.status(); }, (error) => toast(`This page could not start: ${error.message}. Load it again.`, { kind: 'error', stay: 0 }));
  }

  end() {
    for (const off of this.#offs) off();
    this.sidebar.end();
    this.conversation.end();
    clearTimeout(this.#offlineTimer);
    for (const dialog of document.querySelectorAll('dialog')) dialog.close();
    this.chat.stop();
  }

  // ---- where we are ----

  /** Goes to a room, or to the list. The address tells, so that reload and the back button work. */
  go(id) {
    const hash = id ? `#/room/${id}` : '#/';
    if (location.hash === hash) { this.route(); return; }
    location.hash = hash;
  }

  route() {
    takeLink();
    this.invited();
    const id = /^#\/room\/([0-9a-f-]{36})$/.exec(location.hash)?.[1];
    const known = id && this.chat.rooms.has(id);
    if (id && !known && !this.chat.synced) {
      // The list is not here yet; look again when it is.
      const off = this.chat.on('rooms', () => { if (this.chat.synced || this.chat.rooms.has(id)) { off(); this.route(); } });
      return;
    }
    this.chat.open = known ? id : undefined;
    this.shell.dataset.view = known ? 'room' : 'list';
    if (!known) this.details.close();
    this.sidebar.render();
    this.conversation.show(known ? id : undefined);
    this.details.show(known ? id : undefined);
    this.title();
  }

  /** Shows where a link leads, as soon as there is a connection to ask. */
  invited() {
    if (!invited || !this.chat.lynk?.online) return;
    const code = invited;
    invited = undefined;
    openLink(this.chat, code, (room) => this.go(room.id));
  }

  step(by) {
    const ids = this.chat.list().map((room) => room.id);
    if (ids.length === 0) return;
    const at = ids.indexOf(this.chat.open);
    this.go(ids[at < 0 ? 0 : Math.max(0, Math.min(ids.length - 1, at + by))]);
  }

  // ---- the window ----

  title() {
    const { unread } = this.chat;
    const room = this.chat.rooms.get(this.chat.open);
    const here = room ? `${this.chat.title(room)} – ${TITLE}` : TITLE;
    document.title = unread ? `(${unread > 99 ? '99+' : unread}) ${here}` : here;
    const icon = $('link[rel="icon"]');
    const href = unread ? '/assets/icon-unread.svg' : '/assets/icon.svg';
    if (icon.getAttribute('href') !== href) icon.setAttribute('href', href);
  }

  /** Tells about the connection, when it is worth telling. */
  status() {
    const { status } = this.chat.lynk ?? {};
    if (!status) return;
    this.shell.dataset.state = status.state;
    if (status.state === 'connected') {
      clearTimeout(this.#offlineTimer);
      this.#offlineTimer = undefined;
      this.sidebar.banner();
      return;
    }
    if (status.state === 'disconnected' && !status.willRetry) {
      if (!account.session) return;
      // Only the end of this very session signs out: another tab may have signed in anew. That a refresh was refused, the account tells itself.
      if (status.code === 4002 && account.session.session === this.chat.session) account.signedOut('revoked');
      else if (status.code === 4002) this.chat.lynk.connect();
      else this.sidebar.banner(`Disconnected: ${status.reason || `code ${status.code}`}.`, { label: 'Connect', run: () => this.chat.lynk.connect() });
      return;
    }
    // Attempts come and go; what counts is how long there has been no connection.
    const tell = () => {
      const now = this.chat.lynk.status;
      if (!navigator.onLine) this.sidebar.banner('No network. Messages you write are sent when it is back.');
      else if (now.state === 'connecting' && !this.sidebar.warned) this.sidebar.banner('Connecting…');
      else this.sidebar.banner('No connection. Trying again…', { label: 'Try now', run: () => this.chat.lynk.wake() });
    };
    if (this.sidebar.warned) tell();
    else this.#offlineTimer ??= setTimeout(tell, QUIET_MS);
  }

  /** A new message of somebody else. */
  news({ room, message }) {
    if (!this.chat.wantsNews(room, message) && !(room.id === this.chat.open && document.hasFocus())) return;
    const from = this.chat.name(message.from);
    const text = briefOf(message, 1_000);
    if (room.id === this.chat.open && document.hasFocus()) {
      announce(`${from}: ${text}`);
      return;
    }
    if (document.hasFocus()) { announce(`${from} in ${this.chat.title(room)}: ${text}`); return; }
    if (settings.get('notify') !== 'on' || globalThis.Notification?.permission !== 'granted') return;
    // One tag per room: several tabs and several messages make one notification.
    const note = new Notification(room.direct ? from : `${from} · ${this.chat.title(room)}`, { body: text, tag: `lynk-${room.id}`, icon: '/assets/icon.svg' });
    note.onclick = () => { window.focus(); this.go(room.id); note.close(); };
  }

  key(event) {
    if (event.defaultPrevented || event.isComposing) return;
    const control = event.ctrlKey || event.metaKey;
    const dialog = document.querySelector('dialog[open]');
    if (dialog) return;
    if (control && !event.shiftKey && event.key.toLowerCase() === 'k') { event.preventDefault(); this.sidebar.search(); }
    else if (control && event.key === '/') { event.preventDefault(); showShortcuts(); }
    else if (control && event.key === ',') { event.preventDefault(); this.settings(); }
    else if (event.altKey && event.key === 'ArrowDown') { event.preventDefault(); this.step(1); }
    else if (event.altKey && event.key === 'ArrowUp') { event.preventDefault(); this.step(-1); }
    else if (event.altKey && event.code === 'KeyN') { event.preventDefault(); this.sidebar.menu(); }
    else if (event.altKey && event.code === 'KeyI' && this.chat.open) { event.preventDefault(); this.details.toggle(); }
    else if (event.key === 'Escape') this.escape();
    else if (event.key.length === 1 && !control && !event.altKey && !/^(input|textarea|select|button|a)$/i.test(document.activeElement?.tagName ?? '') && !document.activeElement?.closest('.row, [role="menu"]')) {
      // Whoever just writes means the message field.
      this.conversation.focus();
    }
  }

  escape() {
    if (this.conversation.cancel()) return;
    if (this.details.opened) this.details.close();
    else if (this.chat.open && matchMedia('(max-width: 719px)').matches) this.go();
    else this.conversation.focus();
  }

  settings() { showSettings(this.chat, account); }
}

account.on('signedout', ({ reason }) => {
  const user = view?.chat.me;
  view?.end();
  view = undefined;
  if (user && reason !== 'expired') {
    // Somebody ended it on purpose. What waits to be sent goes too: on a shared machine nothing may stay behind. A session that merely
    // ran out takes nothing with it: who signs in again finds what they wrote.
    Storage.forget(user);
    settings.forget(`draft.${user}`);
  }
  signIn({ expired: 'Your session is over. Sign in again.', revoked: 'This session was ended from another device. Sign in again.' }[reason]);
});
account.on('secondfactor', () => { if (view) enrol(); });
// Other tabs: one signs in or out for all.
settings.watch('session', (value) => {
  const { user: { user } = {}, second_factor_required: held } = (value && JSON.parse(value)) || {};
  if (!value && (view || enrolling)) signIn('You were signed out in another tab.');
  // Recovery codes are shown once: they stay until they are kept.
  else if (value && (!view || held)) { if (!document.querySelector('dialog[open] .codes')) chat(); }
  else if (user && view && user !== view.chat.me) chat();
});
settings.watch('theme', (value) => {
  if (value) document.documentElement.dataset.theme = value; else delete document.documentElement.dataset.theme;
});

if (account.session) chat(); else signIn();
