/** The list of rooms, and what stands above it. */

import { $, eachFrame, h, icon, iconButton, reconcile } from './dom.js';
import { createRoom, joinRoom, messagePerson } from './dialogs.js';
import { findRoom } from './discover.js';
import { briefOf, listOf, listTime } from './format.js';
import { openMenu } from './menu.js';
import { requestsRow } from './requests.js';
import { settings } from './storage.js';

export class Sidebar {
  #chat;
  #window;
  #list;
  #banner;
  #filter;
  #add;
  #me;
  #clock;
  #skip;

  constructor(chat, window) {
    this.#chat = chat;
    this.#window = window;
    this.#filter = h('input', { type: 'search', id: 'filter', placeholder: 'Search rooms and people', 'aria-label': 'Search rooms and people', autocomplete: 'off',
      oninput: () => this.render(), onkeydown: (event) => this.#filterKey(event) });
    this.#add = iconButton('plus', 'New conversation', () => this.menu(), { 'aria-haspopup': 'menu' });
    this.#banner = h('div', { class: 'banner', role: 'status' });
    this.#list = h('ul', { class: 'rooms', 'aria-label': 'Conversations', onkeydown: (event) => this.#listKey(event) });
    this.#me = h('button', { type: 'button', class: 'me', title: 'Settings', onclick: () => window.settings() });
    this.#skip = h('a', { class: 'skip', href: '#composer', hidden: true, onclick: (event) => { event.preventDefault(); window.conversation.focus(); } }, 'Skip to the message field');
    this.element = h('nav', { class: 'sidebar', 'aria-label': 'Conversations' }, this.#skip,
      h('header', {},
        this.#me,
        h('div', { class: 'tools' }, iconButton('settings', 'Settings', () => window.settings()), this.#add)),
      h('div', { class: 'search' }, icon('search'), this.#filter),
      this.#banner, this.#list);
    const later = eachFrame(() => this.render());
    for (const name of ['rooms', 'users', 'typing', 'presence']) chat.on(name, later);
    // Times grow old.
    this.#clock = setInterval(later, 60_000);
    this.render();
  }

  end() { clearInterval(this.#clock); }

  get warned() { return this.#banner.childElementCount > 0; }

  /** Shows what is wrong with the connection; nothing when called without a text. */
  banner(text, action) {
    if (!text) { this.#banner.replaceChildren(); return; }
    this.#banner.replaceChildren(h('span', { class: 'spinner', 'aria-hidden': 'true' }), h('span', {}, text),
      action ? h('button', { type: 'button', class: 'link', onclick: action.run }, action.label) : '');
  }

  search() {
    this.#window.shell.dataset.view = 'list';
    this.#filter.focus();
    this.#filter.select();
  }

  menu() {
    const { go } = { go: (room) => this.#window.go(room.id) };
    openMenu(this.#add, 'New conversation', [
      { icon: 'person', label: 'Message a person', run: () => messagePerson(this.#chat, go) },
      { icon: 'compass', label: 'Find a room', run: () => findRoom(this.#chat, go) },
      { icon: 'enter', label: 'Join a room', run: () => joinRoom(this.#chat, go) },
      { icon: 'hash', label: 'Create a room', run: () => createRoom(this.#chat, go) },
    ]);
  }

  #filterKey(event) {
    if (event.key === 'Escape' && this.#filter.value) {
      event.stopPropagation();
      event.preventDefault();
      this.#filter.value = '';
      this.render();
    } else if (event.key === 'ArrowDown') {
      event.preventDefault();
      $('a, button.room', this.#list)?.focus();
    } else if (event.key === 'Enter') {
      event.preventDefault();
      const first = $('a', this.#list);
      if (first) { this.#filter.value = ''; first.click(); }
    }
  }

  #listKey(event) {
    const links = [...this.#list.querySelectorAll('a, button.room')];
    const at = links.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
    if (at < 0 || to === undefined || event.altKey) return;
    event.preventDefault();
    if (to < 0) this.#filter.focus();
    else links[Math.min(to, links.length - 1)]?.focus();
  }

  render() {
    const chat = this.#chat;
    this.#skip.hidden = !chat.open;
    const name = chat.name(chat.me);
    const sign = `${name} ${chat.faces.ofPerson(chat.me)}`;
    if (this.#me.dataset.sign !== sign) {
      this.#me.dataset.sign = sign;
      this.#me.replaceChildren(chat.faces.person(chat.me, name), h('span', { class: 'me-name' }, name), h('span', { class: 'unseen' }, ', your settings'));
    }
    const wanted = this.#filter.value.trim().toLocaleLowerCase();
    const rooms = chat.list().filter((room) => {
      if (!wanted) return true;
      const user = room.peer && chat.users.get(room.peer);
      return `${chat.title(room)} ${user?.user_name ?? ''}`.toLocaleLowerCase().includes(wanted);
    });
    const rows = rooms.map((room) => {
      const row = this.#row(room);
      return { key: room.id, sign: JSON.stringify(row), make: () => this.#element(row) };
    });
    if (rooms.length === 0) rows.push(this.#nothing(wanted));
    const asking = !wanted && requestsRow(chat, (room) => this.#window.go(room.id));
    if (asking) rows.unshift(asking);
    reconcile(this.#list, rows);
  }

  #nothing(wanted) {
    const chat = this.#chat;
    const go = (room) => this.#window.go(room.id);
    if (!chat.synced && chat.rooms.size === 0) {
      return { key: 'loading', sign: '', make: () => h('li', { class: 'loading', 'aria-label': 'Loading' }, Array.from({ length: 6 }, () => h('div', { class: 'ghost' }, h('span', { class: 'ghost-round' }), h('span', { class: 'ghost-lines' })))) };
    }
    if (wanted) {
      return { key: 'none', sign: wanted, make: () => h('li', { class: 'nothing' }, h('p', {}, `You are in no room called “${wanted}”.`),
        h('button', { type: 'button', class: 'secondary', onclick: () => joinRoom(chat, go, this.#filter.value.trim()) }, 'Join a room of that name'),
        h('button', { type: 'button', class: 'secondary', onclick: () => messagePerson(chat, go, this.#filter.value.trim()) }, 'Message a person of that name')) };
    }
    return { key: 'first', sign: '', make: () => h('li', { class: 'nothing' }, h('h2', {}, 'No conversations yet'), h('p', {}, 'Message somebody by user name, or meet in a room.'),
      h('button', { type: 'button', class: 'primary', onclick: () => messagePerson(chat, go) }, 'Message a person'),
      h('button', { type: 'button', class: 'secondary', onclick: () => findRoom(chat, go) }, 'Find a room'),
      h('button', { type: 'button', class: 'secondary', onclick: () => joinRoom(chat, go) }, 'Join a room'),
      h('button', { type: 'button', class: 'secondary', onclick: () => createRoom(chat, go) }, 'Create a room')) };
  }

  /** What is shown of a room. */
  #row(room) {
    const chat = this.#chat;
    const typing = chat.typingIn(room).map((user) => chat.name(user));
    const waiting = chat.waiting(room.id).at(-1);
    const last = room.preview;
    const draft = room.id !== chat.open && settings.get(`draft.${chat.me}.${room.id}`);
    const row = { id: room.id, title: chat.title(room), kind: room.kind, open: room.id === chat.open, unread: room.unread || 0, mentions: room.mentions || 0, quiet: room.quiet, time: listTime(waiting?.created ?? (room.active || last?.time)),
      online: Boolean(room.peer && chat.online.get(room.peer)), face: chat.faces.shown(room), text: '', who: '' };
    if (typing.length) Object.assign(row, { typing: true, text: room.direct ? 'typing…' : `${listOf(typing)} ${typing.length > 1 ? 'are' : 'is'} typing…` });
    else if (draft) Object.assign(row, { draft: true, who: 'Draft', text: draft });
    else if (waiting) Object.assign(row, { tick: waiting.failed ? 'failed' : 'waiting', text: briefOf({ text: waiting.fields.text, ...waiting.shown }) });
    else if (last) {
      const mine = last.from === chat.me;
      const reach = mine && !last.deleted ? room.reachOf(last.seq, chat.me) : undefined;
      Object.assign(row, {
        tick: reach && (reach.read.length ? 'read' : reach.delivered.length ? 'delivered' : 'sent'),
        who: mine || room.direct ? '' : chat.name(last.from).split(' ')[0], text: last.deleted ? 'Message deleted' : briefOf(last), gone: last.deleted,
      });
    } else if (room.ready) row.text = room.direct ? 'Say hello' : 'No messages yet';
    row.text = row.text.slice(0, 120);
    return row;
  }

  #element(row) {
    const ticks = { sent: ['sent', 'Sent: '], delivered: ['both', 'Delivered: '], read: ['both', 'Read: '], waiting: ['clock', 'Waiting: '], failed: ['warning', 'Not sent: '] };
    return h('li', {}, h('a', { href: `#/room/${row.id}`, class: row.open ? 'room open' : 'room', 'aria-current': row.open && 'page' },
      this.#chat.faces.of(this.#chat.rooms.get(row.id), { online: row.online }),
      h('span', { class: 'room-text' },
        h('span', { class: 'room-top' },
          h('span', { class: 'room-title', dir: 'auto' }, row.kind === 'private' && icon('lock', 'small'), row.title, row.quiet && [icon('mute', 'small'), h('span', { class: 'unseen' }, ', muted')], row.online && h('span', { class: 'unseen' }, ', online')),
          h('span', { class: row.unread ? 'room-time fresh' : 'room-time' }, row.time)),
        h('span', { class: 'room-bottom' },
          row.tick && [icon(ticks[row.tick][0], `tick tick-${row.tick}`), h('span', { class: 'unseen' }, ticks[row.tick][1])],
          h('span', { class: `room-last ${row.typing ? 'typing' : ''} ${row.gone ? 'gone' : ''}` }, row.who && h('span', { class: row.draft ? 'draft' : 'who' }, h('bdi', {}, row.who), ': '), h('bdi', {}, row.text)),
          row.mentions > 0 && h('span', { class: 'badge at' }, h('span', { 'aria-hidden': 'true' }, '@'), h('span', { class: 'unseen' }, `${row.mentions >= 100 ? '100 or more' : row.mentions} mention you, `)),
          row.unread > 0 && h('span', { class: row.quiet ? 'badge quiet' : 'badge' }, row.unread > 999 ? '999+' : String(row.unread), h('span', { class: 'unseen' }, ' unread'))))));
  }
}
